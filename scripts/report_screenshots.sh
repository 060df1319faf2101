#!/usr/bin/env bash
# report_screenshots.sh REPORT.html [FOLDER]
# Checks a report in Chromium at the widths of a desktop and a phone: no script fails, and nothing is wider than the screen.
# Pictures of both, in light and dark, go into FOLDER. Exit code 1 where something is wrong, 3 without Chromium.
set -euo pipefail

report=${1:?usage: report_screenshots.sh REPORT.html [FOLDER]}
folder=${2:-}
chromium=${CHROMIUM:-}
for name in chromium chromium-browser google-chrome; do
    [ -n "$chromium" ] || chromium=$(command -v "$name" || true)
done
if [ -z "$chromium" ]; then
    echo "there is no Chromium here; scripts/setup.sh browser installs it, or CHROMIUM names one" >&2
    exit 3
fi

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
themes=(light:1)
[ -z "$folder" ] || { mkdir -p "$folder" && themes+=(dark:0); }

# Windows of Chromium are 500 pixels wide at least, frames in them are not. What a frame is given as text can be looked into.
frame() { # width
    printf '<!doctype html><meta charset="utf-8"><style>body{margin:0}iframe{border:0;width:%dpx;height:100vh;display:block}</style><iframe srcdoc="' "$1"
    sed 's/&/\&amp;/g; s/"/\&quot;/g' "$report"
    cat <<'END'
"></iframe><p id="found"></p><script>
addEventListener("load", () => setTimeout(() => {
  const { contentDocument: page, contentWindow: view } = document.querySelector("iframe");
  const root = page.documentElement;
  const all = (what) => [...page.querySelectorAll(what)];
  const [height, charts] = [root.scrollHeight, all("svg[role=img]").length];
  let width = root.scrollWidth;
  // A picture is of the page as it opens; else each report is looked at with all that it can show.
  for (let i = 0; location.hash && (i === 0 || i < all(".which input").length); i += 1) {
    all(".which input")[i]?.click();
    for (const input of all("main .picker:not(.which .picker) input")) input.click();
    for (const fold of all("details")) fold.open = true;
    width = Math.max(width, root.scrollWidth);
  }
  document.getElementById("found").textContent =
    `errors=${root.dataset.errors} width=${width} of ${view.innerWidth} height=${height} charts=${charts};`;
}, 500));
</script>
END
}

look() { # mark of the address, scheme, further options
    local mark=$1 scheme=$2
    shift 2
    "$chromium" --headless --no-sandbox --disable-gpu --hide-scrollbars --user-data-dir="$work/profile" --virtual-time-budget=3000 \
        --enable-logging=stderr --blink-settings=preferredColorScheme="$scheme" "$@" "file://$work/frame.html$mark"
}

wrong=0
for place in wide:1280 phone:360; do
    width=${place#*:}
    frame "$width" >"$work/frame.html"
    for theme in "${themes[@]}"; do
        name=${place%:*}-${theme%:*}
        found=$(look "#all" "${theme#*:}" --window-size="$width,900" --dump-dom 2>"$work/log" | grep -o 'errors=[0-9a-z]* width=[^;]*' || true)
        echo "$name: ${found:-the page did not load}"
        if grep 'CONSOLE' "$work/log" >&2 || ! [[ $found =~ ^errors=0\ width=([0-9]+)\ of\ ([0-9]+)\ height=([0-9]+) ]]; then
            wrong=1
        elif [ "${BASH_REMATCH[1]}" -gt "${BASH_REMATCH[2]}" ]; then
            echo "$name: the page is wider than the screen" >&2
            wrong=1
        elif [ -n "$folder" ]; then
            look "" "${theme#*:}" --window-size="$width,${BASH_REMATCH[3]}" --screenshot="$folder/$name.png" 2>"$work/log" || wrong=1
        fi
    done
done
exit "$wrong"
