// Answers the calls that Mesa's Vulkan drivers make to libdrm as the kernel's driver of a phone's GPU would, so that their
// compilers run on a machine without that GPU. Preloaded. Memory is plain memory; what is submitted is never run.
//   KERNEL_DRIVER=msm|asahi|panthor   KERNEL_DRIVER_CHIP=0x43051401   KERNEL_DRIVER_VARIANT=4 (panthor: core features)
// Structures and numbers are those of the kernel's public headers (linux-libc-dev).
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <drm/asahi_drm.h>
#include <drm/drm.h>
#include <drm/msm_drm.h>
#include <drm/panthor_drm.h>

// Of libdrm's xf86drm.h, as far as the drivers look.
struct version {
    int major, minor, patch;
    int name_length;
    char *name;
    int date_length;
    char *date;
    int description_length;
    char *description;
};
struct platform_bus { char name[512]; };
struct platform { char **compatible; };
struct device {
    char **nodes;
    int available_nodes;
    int bus_type;
    struct platform_bus *bus;
    struct platform *info;
};

enum { RENDER_NODE = 1 << 2, PLATFORM_BUS = 2 };

static const char *name(void) {
    const char *set = getenv("KERNEL_DRIVER");
    return set ? set : "msm";
}

static uint64_t number(const char *variable) {
    const char *set = getenv(variable);
    return set ? strtoull(set, NULL, 0) : 0;
}

// The render node is /dev/zero: it can be opened, and mmap below knows it by its number.
static char node[] = "/dev/zero";
static char *nodes[3] = {NULL, NULL, node};
static char *compatible[] = {"qcom,adreno", "apple,agx-t8103", "apple,agx-s5l", "arm,mali-valhall-csf", NULL};
static struct platform_bus bus = {"/soc/gpu"};
static struct platform info = {compatible};
static struct device only = {nodes, RENDER_NODE, PLATFORM_BUS, &bus, &info};

int drmGetDevices2(uint32_t flags, struct device **devices, int most) {
    if (devices && most > 0) devices[0] = &only;
    return 1;
}
int drmGetDevices(struct device **devices, int most) { return drmGetDevices2(0, devices, most); }
int drmGetDevice2(int fd, uint32_t flags, struct device **device) { *device = &only; return 0; }
int drmGetDevice(int fd, struct device **device) { return drmGetDevice2(fd, 0, device); }
int drmGetDeviceFromDevId(unsigned long id, uint32_t flags, struct device **device) { return drmGetDevice2(0, 0, device); }
void drmFreeDevices(struct device **devices, int count) {}
void drmFreeDevice(struct device **device) {}
int drmDevicesEqual(struct device *a, struct device *b) { return a == b; }
char *drmGetRenderDeviceNameFromFd(int fd) { return strdup(node); }
char *drmGetDeviceNameFromFd2(int fd) { return strdup(node); }
int drmGetNodeTypeFromFd(int fd) { return 2; }
int drmIsMaster(int fd) { return 0; }

struct version *drmGetVersion(int fd) {
    struct version *version = calloc(1, sizeof *version);
    version->major = 1;
    version->minor = !strcmp(name(), "msm") ? 10 : !strcmp(name(), "panthor") ? 4 : 0;
    version->name = strdup(name());
    version->name_length = strlen(version->name);
    version->date = strdup("0");
    version->description = strdup("none");
    return version;
}
void drmFreeVersion(struct version *version) {
    free(version->name);
    free(version->date);
    free(version->description);
    free(version);
}

int drmGetCap(int fd, uint64_t capability, uint64_t *value) {
    *value = capability == DRM_CAP_SYNCOBJ || capability == DRM_CAP_SYNCOBJ_TIMELINE || capability == DRM_CAP_PRIME;
    return 0;
}
int drmSetClientCap(int fd, uint64_t capability, uint64_t value) { return 0; }
int drmCloseBufferHandle(int fd, uint32_t handle) { return 0; }
int drmPrimeHandleToFD(int fd, uint32_t handle, uint32_t flags, int *out) { errno = ENOSYS; return -1; }
int drmPrimeFDToHandle(int fd, int in, uint32_t *handle) { errno = ENOSYS; return -1; }

// Synchronisation: everything is always done.
static uint32_t last_sync;
int drmSyncobjCreate(int fd, uint32_t flags, uint32_t *handle) { *handle = ++last_sync; return 0; }
int drmSyncobjDestroy(int fd, uint32_t handle) { return 0; }
int drmSyncobjWait(int fd, uint32_t *handles, unsigned count, int64_t until, unsigned flags, uint32_t *first) {
    if (first) *first = 0;
    return 0;
}
int drmSyncobjTimelineWait(int fd, uint32_t *handles, uint64_t *points, unsigned count, int64_t until, unsigned flags, uint32_t *first) {
    return drmSyncobjWait(fd, handles, count, until, flags, first);
}
int drmSyncobjReset(int fd, const uint32_t *handles, uint32_t count) { return 0; }
int drmSyncobjSignal(int fd, const uint32_t *handles, uint32_t count) { return 0; }
int drmSyncobjTimelineSignal(int fd, const uint32_t *handles, uint64_t *points, uint32_t count) { return 0; }
int drmSyncobjQuery(int fd, uint32_t *handles, uint64_t *points, uint32_t count) { for (uint32_t i = 0; i < count; i++) points[i] = INT64_MAX; return 0; }
int drmSyncobjQuery2(int fd, uint32_t *handles, uint64_t *points, uint32_t count, uint32_t flags) { return drmSyncobjQuery(fd, handles, points, count); }
int drmSyncobjTransfer(int fd, uint32_t to, uint64_t to_point, uint32_t from, uint64_t from_point, uint32_t flags) { return 0; }
int drmSyncobjExportSyncFile(int fd, uint32_t handle, int *out) { errno = ENOSYS; return -1; }
int drmSyncobjImportSyncFile(int fd, uint32_t handle, int in) { return 0; }
int drmSyncobjHandleToFD(int fd, uint32_t handle, int *out) { errno = ENOSYS; return -1; }
int drmSyncobjFDToHandle(int fd, int in, uint32_t *handle) { *handle = ++last_sync; return 0; }

// Buffers: a handle, an address for the GPU, and an offset to map it by.
enum { BUFFERS = 1 << 16 };
static uint32_t last_buffer;
static uint64_t next_address = 1ull << 32, addresses[BUFFERS];
static uint32_t new_buffer(uint64_t size) {
    uint32_t handle = ++last_buffer;
    addresses[handle % BUFFERS] = next_address;
    next_address += (size + 0x1ffff) & ~0xffffull;
    return handle;
}
static uint64_t map_offset(uint32_t handle) { return (uint64_t)handle << 16; }

static int msm(unsigned call, void *data) {
    uint64_t chip = number("KERNEL_DRIVER_CHIP");
    switch (call) {
    case DRM_MSM_GET_PARAM: {
        struct drm_msm_param *param = data;
        switch (param->param) {
        case MSM_PARAM_CHIP_ID: param->value = chip; return 0;
        // Of old chips the number that is in their name; of those since the 7 series none.
        case MSM_PARAM_GPU_ID: param->value = chip >> 24 == 6 ? 600 + (chip >> 16 & 0xff) * 10 + (chip >> 8 & 0xff) : 0; return 0;
        case MSM_PARAM_GMEM_SIZE: param->value = 3 << 20; return 0;
        case MSM_PARAM_GMEM_BASE: param->value = 1 << 20; return 0;
        case MSM_PARAM_MAX_FREQ: param->value = 1000000000; return 0;
        case MSM_PARAM_TIMESTAMP: case MSM_PARAM_FAULTS: case MSM_PARAM_SUSPENDS: param->value = 0; return 0;
        case MSM_PARAM_PRIORITIES: param->value = 3; return 0;
        case MSM_PARAM_VA_START: param->value = 1ull << 32; return 0;
        case MSM_PARAM_VA_SIZE: param->value = 1ull << 38; return 0;
        case MSM_PARAM_HIGHEST_BANK_BIT: param->value = 16; return 0;
        case MSM_PARAM_UBWC_SWIZZLE: param->value = 6; return 0;
        case MSM_PARAM_MACROTILE_MODE: param->value = 1; return 0;
        case MSM_PARAM_UCHE_TRAP_BASE: param->value = 0x1fffffffff000ull; return 0;
        case MSM_PARAM_RAYTRACING: param->value = 1; return 0;
        default: return -EINVAL;
        }
    }
    case DRM_MSM_SET_PARAM: return ((struct drm_msm_param *)data)->param == MSM_PARAM_EN_VM_BIND ? -EINVAL : 0;
    case DRM_MSM_GEM_NEW: {
        struct drm_msm_gem_new *made = data;
        made->handle = new_buffer(made->size);
        return 0;
    }
    case DRM_MSM_GEM_INFO: {
        struct drm_msm_gem_info *asked = data;
        if (asked->info == MSM_INFO_GET_OFFSET) asked->value = map_offset(asked->handle);
        if (asked->info == MSM_INFO_GET_IOVA) asked->value = addresses[asked->handle % BUFFERS];
        return 0;
    }
    case DRM_MSM_GEM_MADVISE: ((struct drm_msm_gem_madvise *)data)->retained = 1; return 0;
    case DRM_MSM_SUBMITQUEUE_NEW: {
        static uint32_t last;
        ((struct drm_msm_submitqueue *)data)->id = ++last;
        return 0;
    }
    case DRM_MSM_SUBMITQUEUE_QUERY: {
        struct drm_msm_submitqueue_query *asked = data;
        if (asked->data) memset((void *)(uintptr_t)asked->data, 0, asked->len);
        return 0;
    }
    default: return 0;
    }
}

static int asahi(unsigned call, void *data) {
    switch (call) {
    case DRM_ASAHI_GET_PARAMS: {
        struct drm_asahi_get_params *asked = data;
        struct drm_asahi_params_global params = {
            .features = DRM_ASAHI_FEATURE_SOFT_FAULTS,
            .chip_id = number("KERNEL_DRIVER_CHIP"),
            .gpu_generation = number("KERNEL_DRIVER_CHIP") == 0x8103 ? 13 : 14,
            .gpu_variant = 'G',
            .num_dies = 1,
            .num_clusters_total = 1,
            .num_cores_per_cluster = 8,
            .core_masks = {0xff},
            .max_frequency_khz = 1278000,
            .vm_start = 1 << 14,
            .vm_end = 1ull << 39,
            .vm_kernel_min_size = 1 << 29,
            .max_commands_per_submission = 64,
            .max_attachments = 16,
            .command_timestamp_frequency_hz = 24000000,
        };
        size_t size = asked->size < sizeof params ? asked->size : sizeof params;
        memcpy((void *)(uintptr_t)asked->pointer, &params, size);
        asked->size = sizeof params;
        return 0;
    }
    case DRM_ASAHI_VM_CREATE: ((struct drm_asahi_vm_create *)data)->vm_id = 1; return 0;
    case DRM_ASAHI_GEM_CREATE: {
        struct drm_asahi_gem_create *made = data;
        made->handle = new_buffer(made->size);
        return 0;
    }
    case DRM_ASAHI_GEM_MMAP_OFFSET: {
        struct drm_asahi_gem_mmap_offset *asked = data;
        asked->offset = map_offset(asked->handle);
        return 0;
    }
    case DRM_ASAHI_GEM_BIND_OBJECT: ((struct drm_asahi_gem_bind_object *)data)->object_handle = 1; return 0;
    case DRM_ASAHI_QUEUE_CREATE: ((struct drm_asahi_queue_create *)data)->queue_id = 1; return 0;
    case DRM_ASAHI_GET_TIME: ((struct drm_asahi_get_time *)data)->gpu_timestamp = 0; return 0;
    default: return 0;
    }
}

// A query without a place to answer to asks for the answer's size.
static int answer(struct drm_panthor_dev_query *query, const void *found, size_t size) {
    void *to = (void *)(uintptr_t)query->pointer;
    if (to) memcpy(to, found, query->size < size ? query->size : size);
    else query->size = size;
    return 0;
}

static int panthor_query(struct drm_panthor_dev_query *query) {
    switch (query->type) {
    case DRM_PANTHOR_DEV_QUERY_GPU_INFO: {
        // Register values as Mesa's own shim for tests has them (MIT).
        struct drm_panthor_gpu_info found = {
            .gpu_id = (uint32_t)number("KERNEL_DRIVER_CHIP") << 16,
            .core_features = number("KERNEL_DRIVER_VARIANT"),
            .csf_id = 0x40a0412,
            .l2_features = 0x7120306,
            .tiler_features = 0x809,
            .mem_features = 0x301,
            .mmu_features = 0x2830,
            .thread_features = 0x4010000,
            .max_threads = 2048,
            .thread_max_workgroup_size = 1024,
            .thread_max_barrier_size = 1024,
            .texture_features = {0xc1ffff9e},
            .as_present = 0xff,
            .shader_present = 0x50005,
            .l2_present = 1,
            .tiler_present = 1,
        };
        return answer(query, &found, sizeof found);
    }
    case DRM_PANTHOR_DEV_QUERY_CSIF_INFO: {
        struct drm_panthor_csif_info found = {8, 8, 96, 8, 4, 0};
        return answer(query, &found, sizeof found);
    }
    case DRM_PANTHOR_DEV_QUERY_TIMESTAMP_INFO: {
        struct drm_panthor_timestamp_info found = {.timestamp_frequency = 24000000};
        return answer(query, &found, sizeof found);
    }
    case DRM_PANTHOR_DEV_QUERY_GROUP_PRIORITIES_INFO: {
        struct drm_panthor_group_priorities_info found = {.allowed_mask = 7};
        return answer(query, &found, sizeof found);
    }
    case DRM_PANTHOR_DEV_QUERY_MMU_INFO: {
        struct drm_panthor_mmu_info found = {.page_size_bitmap = 0x40201000};
        return answer(query, &found, sizeof found);
    }
    default: return -EINVAL;
    }
}

static int panthor(unsigned call, void *data) {
    switch (call) {
    case DRM_PANTHOR_DEV_QUERY: return panthor_query(data);
    case DRM_PANTHOR_VM_CREATE: {
        struct drm_panthor_vm_create *made = data;
        made->id = 1;
        if (!made->user_va_range) made->user_va_range = 1ull << 47;
        return 0;
    }
    case DRM_PANTHOR_BO_CREATE: {
        struct drm_panthor_bo_create *made = data;
        made->handle = new_buffer(made->size);
        return 0;
    }
    case DRM_PANTHOR_BO_MMAP_OFFSET: {
        struct drm_panthor_bo_mmap_offset *asked = data;
        asked->offset = map_offset(asked->handle);
        return 0;
    }
    case DRM_PANTHOR_GROUP_CREATE: ((struct drm_panthor_group_create *)data)->group_handle = 1; return 0;
    case DRM_PANTHOR_TILER_HEAP_CREATE: {
        struct drm_panthor_tiler_heap_create *made = data;
        made->handle = 1;
        made->tiler_heap_ctx_gpu_va = 1 << 16;
        made->first_heap_chunk_gpu_va = 1 << 17;
        return 0;
    }
    default: return 0;
    }
}

int drmIoctl(int fd, unsigned long request, void *data) {
    unsigned call = _IOC_NR(request);
    int result = 0;
    if (call >= DRM_COMMAND_BASE && call < DRM_COMMAND_END) {
        call -= DRM_COMMAND_BASE;
        result = !strcmp(name(), "msm") ? msm(call, data) : !strcmp(name(), "asahi") ? asahi(call, data) : panthor(call, data);
    } else if (request == DRM_IOCTL_SYNCOBJ_CREATE) {
        ((struct drm_syncobj_create *)data)->handle = ++last_sync;
    } else if (request == DRM_IOCTL_GET_CAP) {
        struct drm_get_cap *asked = data;
        result = drmGetCap(fd, asked->capability, (uint64_t *)&asked->value);
    }
    if (result < 0) {
        errno = -result;
        return -1;
    }
    return result;
}
static int command(int fd, unsigned long index, void *data, unsigned long size) {
    unsigned long request = _IOC(_IOC_READ | _IOC_WRITE, DRM_IOCTL_BASE, DRM_COMMAND_BASE + index, size);
    return drmIoctl(fd, request, data) ? -errno : 0;
}
int drmCommandNone(int fd, unsigned long index) { return command(fd, index, NULL, 0); }
int drmCommandRead(int fd, unsigned long index, void *data, unsigned long size) { return command(fd, index, data, size); }
int drmCommandWrite(int fd, unsigned long index, const void *data, unsigned long size) { return command(fd, index, (void *)data, size); }
int drmCommandWriteRead(int fd, unsigned long index, void *data, unsigned long size) { return command(fd, index, data, size); }

// A mapping of a buffer is memory of its own.
void *mmap64(void *at, size_t length, int protection, int flags, int fd, off64_t offset) {
    struct stat found;
    if (fd >= 0 && flags & MAP_SHARED && !fstat(fd, &found) && S_ISCHR(found.st_mode) && found.st_rdev == makedev(1, 5)) {
        flags = (flags & ~MAP_SHARED) | MAP_PRIVATE | MAP_ANONYMOUS;
        protection |= PROT_READ | PROT_WRITE;
        fd = -1;
        offset = 0;
    }
    return (void *)syscall(SYS_mmap, at, length, protection, flags, fd, offset);
}
void *mmap(void *at, size_t length, int protection, int flags, int fd, off_t offset) {
    return mmap64(at, length, protection, flags, fd, offset);
}
