//! Textures: making them, and filling them with the packed weights of a matrix.

use wgpu::{COPY_BYTES_PER_ROW_ALIGNMENT as ALIGNMENT, Extent3d, Origin3d, TextureUsages};

use super::{Buffer, Gpu, GpuError, buffer::PATIENCE, upload::PIECE};

/// Bytes of a texel: four words.
const TEXEL: u32 = 16;

/// A texture on the GPU, of texels of four words; clones share it.
#[derive(Clone, Debug)]
pub struct Texture {
    raw: wgpu::Texture,
    view: wgpu::TextureView,
}

impl Texture {
    /// To be read by a kernel.
    pub(super) fn entry(&self, binding: u32) -> wgpu::BindGroupEntry<'_> {
        wgpu::BindGroupEntry { binding, resource: wgpu::BindingResource::TextureView(&self.view) }
    }

    /// Bytes of a row of texels.
    fn row(&self) -> u32 {
        self.raw.width() * TEXEL
    }

    /// `count` rows of texels, from `first` on.
    fn rows(&self, first: u32, count: u32) -> (wgpu::TexelCopyTextureInfo<'_>, Extent3d) {
        let origin = Origin3d { x: 0, y: first, z: 0 };
        let to = wgpu::TexelCopyTextureInfo { origin, ..self.raw.as_image_copy() };
        (to, Extent3d { width: self.raw.width(), height: count, depth_or_array_layers: 1 })
    }
}

impl Gpu {
    /// A texture that holds these bytes, `[height, width]` texels; `taken` hears of each piece that is not read any more.
    ///
    /// # Errors
    /// When the device has no room.
    pub(super) fn filled_texture(
        &self,
        label: &str,
        size: [usize; 2],
        bytes: &[u8],
        taken: &dyn Fn(&[u8]),
    ) -> Result<Texture, GpuError> {
        let texture = self.texture(label, size)?;
        let row = texture.row() as usize;
        let layout = wgpu::TexelCopyBufferLayout {
            bytes_per_row: Some(texture.row()),
            ..wgpu::TexelCopyBufferLayout::default()
        };
        // In staging memory.
        let aligned = row.next_multiple_of(ALIGNMENT as usize);
        let mut first = 0;
        for piece in bytes.chunks((PIECE / aligned).max(1) * row) {
            let count = piece.len() / row;
            let (to, extent) = texture.rows(first, count as u32);
            self.stage((count * aligned) as u64, |queue| queue.write_texture(to, piece, layout, extent));
            taken(piece);
            first += count as u32;
        }
        self.counters().uploaded(bytes.len() as u64);
        Ok(texture)
    }

    /// A texture that holds what a buffer does. The copy is waited for, so that the buffers of many are not there at once.
    ///
    /// # Errors
    /// When the device has no room, or is lost.
    pub(super) fn texture_of(
        &self,
        label: &str,
        size: [usize; 2],
        buffer: &Buffer,
    ) -> Result<Texture, GpuError> {
        let texture = self.texture(label, size)?;
        let (row, height) = (texture.row(), texture.raw.height());
        // Rows that are copied together must be aligned.
        let at_once = if row.is_multiple_of(ALIGNMENT) { height } else { 1 };
        let mut encoder = self.encoder();
        for first in (0..height).step_by(at_once as usize) {
            let (to, extent) = texture.rows(first, at_once);
            let offset = u64::from(first) * u64::from(row);
            let layout = wgpu::TexelCopyBufferLayout {
                offset,
                bytes_per_row: (at_once > 1).then_some(row),
                rows_per_image: None,
            };
            encoder.copy_buffer_to_texture(
                wgpu::TexelCopyBufferInfo { buffer: buffer.raw(), layout },
                to,
                extent,
            );
            self.counters().copied(u64::from(row) * u64::from(at_once));
        }
        self.submit([encoder])?;
        self.wait(PATIENCE)?;
        Ok(texture)
    }

    /// Brings textures into the state in which kernels read them, for commands that wgpu does not see.
    pub(super) fn to_be_read<'a>(&self, textures: impl Iterator<Item = &'a Texture>) -> Result<(), GpuError> {
        let state = wgpu::TextureUses::RESOURCE;
        let each = textures.map(|t| wgpu::TextureTransition { texture: &t.raw, selector: None, state });
        let mut each = each.peekable();
        if each.peek().is_some() {
            let mut encoder = self.encoder();
            encoder.transition_resources(std::iter::empty(), each);
            self.submit([encoder])?;
        }
        Ok(())
    }

    fn texture(&self, label: &str, [width, height]: [usize; 2]) -> Result<Texture, GpuError> {
        let [width, height] = [width, height].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        let descriptor = wgpu::TextureDescriptor {
            label: Some(label),
            size: Extent3d { width, height, depth_or_array_layers: 1 },
            mip_level_count: 1,
            sample_count: 1,
            dimension: wgpu::TextureDimension::D2,
            format: wgpu::TextureFormat::Rgba32Uint,
            usage: TextureUsages::TEXTURE_BINDING | TextureUsages::COPY_DST,
            view_formats: &[],
        };
        let (texture, failed) = self.guarded(|device| {
            let raw = device.create_texture(&descriptor);
            let view = raw.create_view(&wgpu::TextureViewDescriptor::default());
            Texture { raw, view }
        });
        let size = u64::from(width) * u64::from(height) * u64::from(TEXEL);
        match failed {
            Some(text) => Err(GpuError::Memory { label: label.to_owned(), size, text }),
            None => Ok(texture),
        }
    }
}
