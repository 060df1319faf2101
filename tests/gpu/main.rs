//! Tests on any GPU; software Vulkan counts.
