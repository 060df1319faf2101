// A Vulkan layer for Dawn on Mesa's software driver before 23: Dawn takes no device without dynamic indexing of image arrays, which
// that driver lacks and ONNX Runtime's kernels, which know buffers alone, never use. The layer says that it is there, and asks the
// driver for what it has. One instance at a time.
//
//     cc -shared -fPIC -o libimage_indexing_layer.so image_indexing_layer.c

#include <string.h>
#include <vulkan/vk_layer.h>
#include <vulkan/vulkan.h>

static PFN_vkGetInstanceProcAddr next_instance;
static PFN_vkGetDeviceProcAddr next_device;
static PFN_vkGetPhysicalDeviceFeatures next_features;
static PFN_vkGetPhysicalDeviceFeatures2 next_features2;
static PFN_vkCreateDevice next_create_device;

static void announce(VkPhysicalDeviceFeatures *features) {
    features->shaderSampledImageArrayDynamicIndexing = VK_TRUE;
    features->shaderStorageImageArrayDynamicIndexing = VK_TRUE;
}

static void withdraw(VkPhysicalDeviceFeatures *asked, const VkPhysicalDeviceFeatures *real) {
    asked->shaderSampledImageArrayDynamicIndexing &= real->shaderSampledImageArrayDynamicIndexing;
    asked->shaderStorageImageArrayDynamicIndexing &= real->shaderStorageImageArrayDynamicIndexing;
}

static VKAPI_ATTR void VKAPI_CALL get_features(VkPhysicalDevice gpu, VkPhysicalDeviceFeatures *features) {
    next_features(gpu, features);
    announce(features);
}

static VKAPI_ATTR void VKAPI_CALL get_features2(VkPhysicalDevice gpu, VkPhysicalDeviceFeatures2 *features) {
    next_features2(gpu, features);
    announce(&features->features);
}

// The loader's link to what comes behind this layer, in a chain of structures.
static void *link_info(const void *chain, VkStructureType type) {
    for (const VkLayerInstanceCreateInfo *info = chain; info; info = info->pNext)
        if (info->sType == type && info->function == VK_LAYER_LINK_INFO) return (void *)info;
    return NULL;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_instance(const VkInstanceCreateInfo *info, const VkAllocationCallbacks *allocator, VkInstance *out) {
    VkLayerInstanceCreateInfo *link = link_info(info->pNext, VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO);
    if (!link) return VK_ERROR_INITIALIZATION_FAILED;
    next_instance = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    VkResult result = ((PFN_vkCreateInstance)next_instance(NULL, "vkCreateInstance"))(info, allocator, out);
    if (result != VK_SUCCESS) return result;
    // Later the loader would answer with this layer's own.
    next_features = (PFN_vkGetPhysicalDeviceFeatures)next_instance(*out, "vkGetPhysicalDeviceFeatures");
    next_features2 = (PFN_vkGetPhysicalDeviceFeatures2)next_instance(*out, "vkGetPhysicalDeviceFeatures2");
    next_create_device = (PFN_vkCreateDevice)next_instance(*out, "vkCreateDevice");
    return VK_SUCCESS;
}

static VKAPI_ATTR VkResult VKAPI_CALL create_device(VkPhysicalDevice gpu, const VkDeviceCreateInfo *info, const VkAllocationCallbacks *allocator,
                                                    VkDevice *out) {
    VkLayerDeviceCreateInfo *link = link_info(info->pNext, VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO);
    if (!link) return VK_ERROR_INITIALIZATION_FAILED;
    next_device = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
    link->u.pLayerInfo = link->u.pLayerInfo->pNext;
    VkPhysicalDeviceFeatures real;
    next_features(gpu, &real);
    if (info->pEnabledFeatures) withdraw((VkPhysicalDeviceFeatures *)info->pEnabledFeatures, &real);
    for (const VkBaseInStructure *entry = info->pNext; entry; entry = entry->pNext)
        if (entry->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2) withdraw(&((VkPhysicalDeviceFeatures2 *)entry)->features, &real);
    return next_create_device(gpu, info, allocator, out);
}

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_device_proc(VkDevice device, const char *name) { return next_device(device, name); }

static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL get_instance_proc(VkInstance of, const char *name) {
    static const struct { const char *name; PFN_vkVoidFunction function; } ours[] = {
        {"vkGetInstanceProcAddr", (PFN_vkVoidFunction)get_instance_proc},
        {"vkGetDeviceProcAddr", (PFN_vkVoidFunction)get_device_proc},
        {"vkCreateInstance", (PFN_vkVoidFunction)create_instance},
        {"vkCreateDevice", (PFN_vkVoidFunction)create_device},
        {"vkGetPhysicalDeviceFeatures", (PFN_vkVoidFunction)get_features},
        {"vkGetPhysicalDeviceFeatures2", (PFN_vkVoidFunction)get_features2},
        {"vkGetPhysicalDeviceFeatures2KHR", (PFN_vkVoidFunction)get_features2},
    };
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (!strcmp(name, ours[i].name)) return ours[i].function;
    return next_instance ? next_instance(of, name) : NULL;
}

VKAPI_ATTR VkResult VKAPI_CALL vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *layer) {
    layer->loaderLayerInterfaceVersion = 2;
    layer->pfnGetInstanceProcAddr = get_instance_proc;
    layer->pfnGetDeviceProcAddr = get_device_proc;
    layer->pfnGetPhysicalDeviceProcAddr = NULL;
    return VK_SUCCESS;
}
