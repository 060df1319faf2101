// pipeline_statistics DRIVER.so OUT FILE.spv... : makes a compute pipeline of each file with a Vulkan driver, without a loader, and
// writes what the driver tells of it: OUT/FILE.tsv with `statistic value` lines, and OUT/FILE.REPRESENTATION.txt. Apple's driver prints
// its assembly instead.
// Nothing is run. A file that the driver refuses is told on stderr and left out.
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VK_NO_PROTOTYPES
#include <vulkan/vulkan.h>

#define CHECK(call) check(#call, call)
#define INSTANCE(name) PFN_##name name = (PFN_##name)get(instance, #name)
#define DEVICE(name) PFN_##name name = (PFN_##name)of_device(device, #name)

enum { WORDS = 1 << 20, IDS = 1 << 17, BINDINGS = 32, STATISTICS = 64, REPRESENTATIONS = 16 };

static void check(const char *call, VkResult result) {
    if (result < 0) {
        fprintf(stderr, "%s: %d\n", call, result);
        exit(1);
    }
}

// What a module binds, as naga writes it: one descriptor set, types before variables, decorations before both.
struct module {
    uint32_t words[WORDS];
    size_t count;
    VkDescriptorSetLayoutBinding bindings[BINDINGS];
    uint32_t bound;
};

enum { OP_TYPE_IMAGE = 25, OP_TYPE_POINTER = 32, OP_VARIABLE = 59, OP_DECORATE = 71, BINDING = 33 };
enum { UNIFORM_CONSTANT = 0, UNIFORM = 2, STORAGE_BUFFER = 12 };

static int read_module(const char *path, struct module *module) {
    static uint32_t binding[IDS], pointee[IDS], sampled[IDS];
    memset(binding, 0xff, sizeof binding);
    memset(pointee, 0, sizeof pointee);
    FILE *file = fopen(path, "rb");
    if (!file) return 0;
    module->count = fread(module->words, 4, WORDS, file);
    module->bound = 0;
    fclose(file);
    const uint32_t *w = module->words;
    for (size_t at = 5; at < module->count && w[at] >> 16; at += w[at] >> 16) {
        uint32_t op = w[at] & 0xffff, a = w[at + 1] % IDS, b = w[at + 2] % IDS;
        if (op == OP_TYPE_IMAGE) sampled[a] = w[at + 7];
        if (op == OP_TYPE_POINTER) pointee[a] = w[at + 3] % IDS;
        if (op == OP_DECORATE && w[at + 2] == BINDING) binding[a] = w[at + 3];
        if (op != OP_VARIABLE || binding[b] == UINT32_MAX || module->bound == BINDINGS) continue;
        VkDescriptorType type = VK_DESCRIPTOR_TYPE_STORAGE_BUFFER;
        if (w[at + 3] == UNIFORM) type = VK_DESCRIPTOR_TYPE_UNIFORM_BUFFER;
        if (w[at + 3] == UNIFORM_CONSTANT)
            type = sampled[pointee[a]] == 2 ? VK_DESCRIPTOR_TYPE_STORAGE_IMAGE : VK_DESCRIPTOR_TYPE_SAMPLED_IMAGE;
        module->bindings[module->bound++] = (VkDescriptorSetLayoutBinding){
            .binding = binding[b], .descriptorType = type, .descriptorCount = 1, .stageFlags = VK_SHADER_STAGE_COMPUTE_BIT};
    }
    return module->count > 5;
}

static FILE *open_out(const char *folder, const char *file, const char *suffix) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s%s", folder, file, suffix);
    for (char *c = path + strlen(folder) + 1; *c; c++)
        if (*c == ' ' || *c == '/' || *c == '(' || *c == ')') *c = '_';
    FILE *out = fopen(path, "wb");
    if (!out) {
        perror(path);
        exit(1);
    }
    return out;
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fputs("pipeline_statistics DRIVER.so OUT FILE.spv...\n", stderr);
        return 2;
    }
    void *driver = dlopen(argv[1], RTLD_NOW);
    if (!driver) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    PFN_vkGetInstanceProcAddr get = (PFN_vkGetInstanceProcAddr)dlsym(driver, "vk_icdGetInstanceProcAddr");
    VkInstance instance = NULL;
    INSTANCE(vkCreateInstance);
    VkApplicationInfo application = {VK_STRUCTURE_TYPE_APPLICATION_INFO, .apiVersion = VK_API_VERSION_1_3};
    VkInstanceCreateInfo instance_info = {VK_STRUCTURE_TYPE_INSTANCE_CREATE_INFO, .pApplicationInfo = &application};
    CHECK(vkCreateInstance(&instance_info, NULL, &instance));
    INSTANCE(vkEnumeratePhysicalDevices);
    INSTANCE(vkGetPhysicalDeviceProperties);
    INSTANCE(vkGetPhysicalDeviceFeatures2);
    INSTANCE(vkEnumerateDeviceExtensionProperties);
    INSTANCE(vkGetPhysicalDeviceQueueFamilyProperties);
    INSTANCE(vkCreateDevice);
    PFN_vkGetDeviceProcAddr of_device = (PFN_vkGetDeviceProcAddr)get(instance, "vkGetDeviceProcAddr");
    uint32_t count = 1;
    VkPhysicalDevice physical;
    CHECK(vkEnumeratePhysicalDevices(instance, &count, &physical));
    if (count == 0) {
        fputs("the driver finds no device\n", stderr);
        return 1;
    }
    VkPhysicalDeviceProperties properties;
    vkGetPhysicalDeviceProperties(physical, &properties);
    printf("%s, driver %s\n", properties.deviceName, argv[1]);

    // Everything that the device offers of what kernels may use.
    VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR told = {
        VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR};
    VkPhysicalDeviceRobustness2FeaturesEXT robust = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_ROBUSTNESS_2_FEATURES_EXT};
    VkPhysicalDeviceVulkan11Features v11 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_1_FEATURES, &told};
    VkPhysicalDeviceVulkan12Features v12 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_2_FEATURES, &v11};
    VkPhysicalDeviceVulkan13Features v13 = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_VULKAN_1_3_FEATURES, &v12};
    VkPhysicalDeviceFeatures2 features = {VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_FEATURES_2, &v12};
    const char *extensions[4] = {"VK_KHR_pipeline_executable_properties"};
    uint32_t extension_count = 1;
    if (properties.apiVersion >= VK_API_VERSION_1_3) features.pNext = &v13;
    static VkExtensionProperties offered[512];
    uint32_t offered_count = 512;
    CHECK(vkEnumerateDeviceExtensionProperties(physical, NULL, &offered_count, offered));
    for (uint32_t i = 0; i < offered_count; i++)
        if (!strcmp(offered[i].extensionName, "VK_EXT_robustness2")) {
            robust.pNext = features.pNext;
            features.pNext = &robust;
            extensions[extension_count++] = "VK_EXT_robustness2";
        }
    vkGetPhysicalDeviceFeatures2(physical, &features);
    features.features = (VkPhysicalDeviceFeatures){
        .robustBufferAccess = features.features.robustBufferAccess, .shaderInt16 = features.features.shaderInt16};
    VkQueueFamilyProperties families[8];
    uint32_t family_count = 8, family = 0;
    vkGetPhysicalDeviceQueueFamilyProperties(physical, &family_count, families);
    while (family + 1 < family_count && !(families[family].queueFlags & VK_QUEUE_COMPUTE_BIT)) family++;
    float priority = 1;
    VkDeviceQueueCreateInfo queue = {VK_STRUCTURE_TYPE_DEVICE_QUEUE_CREATE_INFO,
        .queueFamilyIndex = family, .queueCount = 1, .pQueuePriorities = &priority};
    VkDeviceCreateInfo device_info = {VK_STRUCTURE_TYPE_DEVICE_CREATE_INFO, &features, .queueCreateInfoCount = 1,
        .pQueueCreateInfos = &queue, .enabledExtensionCount = extension_count, .ppEnabledExtensionNames = extensions};
    VkDevice device;
    CHECK(vkCreateDevice(physical, &device_info, NULL, &device));
    DEVICE(vkCreateDescriptorSetLayout);
    DEVICE(vkCreatePipelineLayout);
    DEVICE(vkCreateShaderModule);
    DEVICE(vkCreateComputePipelines);
    DEVICE(vkGetPipelineExecutablePropertiesKHR);
    DEVICE(vkGetPipelineExecutableStatisticsKHR);
    DEVICE(vkGetPipelineExecutableInternalRepresentationsKHR);

    static struct module module;
    for (int arg = 3; arg < argc; arg++) {
        const char *slash = strrchr(argv[arg], '/'), *file = slash ? slash + 1 : argv[arg];
        if (!read_module(argv[arg], &module)) {
            fprintf(stderr, "%s: no SPIR-V\n", argv[arg]);
            continue;
        }
        VkDescriptorSetLayoutCreateInfo set_info = {VK_STRUCTURE_TYPE_DESCRIPTOR_SET_LAYOUT_CREATE_INFO,
            .bindingCount = module.bound, .pBindings = module.bindings};
        VkDescriptorSetLayout set;
        CHECK(vkCreateDescriptorSetLayout(device, &set_info, NULL, &set));
        VkPipelineLayoutCreateInfo layout_info = {VK_STRUCTURE_TYPE_PIPELINE_LAYOUT_CREATE_INFO, .setLayoutCount = 1, .pSetLayouts = &set};
        VkPipelineLayout layout;
        CHECK(vkCreatePipelineLayout(device, &layout_info, NULL, &layout));
        VkShaderModuleCreateInfo shader_info = {VK_STRUCTURE_TYPE_SHADER_MODULE_CREATE_INFO,
            .codeSize = module.count * 4, .pCode = module.words};
        VkShaderModule shader;
        CHECK(vkCreateShaderModule(device, &shader_info, NULL, &shader));
        // As wgpu does where it offers subgroups.
        VkPipelineShaderStageCreateFlags varying =
            v13.subgroupSizeControl ? VK_PIPELINE_SHADER_STAGE_CREATE_ALLOW_VARYING_SUBGROUP_SIZE_BIT : 0;
        VkComputePipelineCreateInfo pipeline_info = {VK_STRUCTURE_TYPE_COMPUTE_PIPELINE_CREATE_INFO,
            .flags = VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR | VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR,
            .stage = {VK_STRUCTURE_TYPE_PIPELINE_SHADER_STAGE_CREATE_INFO, .flags = varying, .stage = VK_SHADER_STAGE_COMPUTE_BIT,
                .module = shader, .pName = "main"},
            .layout = layout};
        VkPipeline pipeline;
        VkResult made = vkCreateComputePipelines(device, NULL, 1, &pipeline_info, NULL, &pipeline);
        if (made != VK_SUCCESS) {
            fprintf(stderr, "%s: refused, %d\n", file, made);
            continue;
        }
        VkPipelineInfoKHR info = {VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, .pipeline = pipeline};
        VkPipelineExecutablePropertiesKHR executable = {VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR};
        count = 1;
        vkGetPipelineExecutablePropertiesKHR(device, &info, &count, &executable);
        VkPipelineExecutableInfoKHR which = {VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, .pipeline = pipeline};
        VkPipelineExecutableStatisticKHR statistics[STATISTICS] = {0};
        for (int i = 0; i < STATISTICS; i++) statistics[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
        count = STATISTICS;
        vkGetPipelineExecutableStatisticsKHR(device, &which, &count, statistics);
        FILE *out = open_out(argv[2], file, ".tsv");
        fprintf(out, "Subgroup size\t%u\n", executable.subgroupSize);
        for (uint32_t i = 0; i < count; i++) {
            if (statistics[i].format == VK_PIPELINE_EXECUTABLE_STATISTIC_FORMAT_FLOAT64_KHR)
                fprintf(out, "%s\t%g\n", statistics[i].name, statistics[i].value.f64);
            else
                fprintf(out, "%s\t%llu\n", statistics[i].name, (unsigned long long)statistics[i].value.u64);
        }
        fclose(out);
        VkPipelineExecutableInternalRepresentationKHR texts[REPRESENTATIONS] = {0};
        for (int i = 0; i < REPRESENTATIONS; i++) texts[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR;
        count = REPRESENTATIONS;
        vkGetPipelineExecutableInternalRepresentationsKHR(device, &which, &count, texts);
        for (uint32_t i = 0; i < count; i++) texts[i].pData = malloc(texts[i].dataSize + 1);
        vkGetPipelineExecutableInternalRepresentationsKHR(device, &which, &count, texts);
        for (uint32_t i = 0; i < count; i++) {
            if (texts[i].isText) {
                char suffix[VK_MAX_DESCRIPTION_SIZE + 8];
                snprintf(suffix, sizeof suffix, ".%s.txt", texts[i].name);
                out = open_out(argv[2], file, suffix);
                fputs(texts[i].pData, out);
                fclose(out);
            }
            free(texts[i].pData);
        }
    }
    return 0;
}
