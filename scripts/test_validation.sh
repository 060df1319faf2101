#!/usr/bin/env bash
# test_validation.sh DIR : what the engine asks of Vulkan past wgpu, under the validation layers of Khronos, which are unpacked within DIR
# (about 3 MB fetched). Where they cannot be had, says so and ends with 0.
set -euo pipefail
cd "$(dirname "$0")/.."
layers=$(mkdir -p "${1:?test_validation.sh DIR}" && cd "$1" && pwd)

. /etc/os-release 2>/dev/null || true
scripts/unpack_debian.sh "$layers" needed "${VERSION_CODENAME:-bookworm}" vulkan-validationlayers || {
    echo "validation: Debian's Vulkan layers cannot be fetched, so that calls of Vulkan are not checked here" >&2
    exit 0
}
folder=$layers/usr/share/vulkan/explicit_layer.d
# The manifest names the library alone.
library=$(find "$layers/usr/lib" -name libVkLayer_khronos_validation.so)
sed -i "s|\"library_path\": \".*\"|\"library_path\": \"$library\"|" "$folder/VkLayer_khronos_validation.json"
cat >"$layers/vk_layer_settings.txt" <<SETTINGS
khronos_validation.debug_action = VK_DBG_LAYER_ACTION_LOG_MSG
khronos_validation.report_flags = error,warn
khronos_validation.log_filename = $layers/log.txt
khronos_validation.enables = VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT
SETTINGS
export VK_LAYER_PATH=$folder VK_INSTANCE_LAYERS=VK_LAYER_KHRONOS_validation VK_LAYER_SETTINGS_PATH=$layers/vk_layer_settings.txt
export XDG_RUNTIME_DIR=${XDG_RUNTIME_DIR:-/tmp}
# One after the other: each process begins the log anew.
for test in what_is_recorded_once a_profiled_step sessions_may_go; do
    rm -f "$layers/log.txt"
    cargo nextest run --workspace -E "binary(gpu) and test($test)"
    [ -e "$layers/log.txt" ] || { echo "validation: the layers were not loaded" >&2; exit 1; }
    [ ! -s "$layers/log.txt" ] || { cat "$layers/log.txt" >&2; exit 1; }
done
