//! AMD graphics cards.

use crate::collector::CollectError;
use crate::files::{Paths, list_or_empty, read_sys, read_u64};
use crate::sink::Sink;

/// Numeric files of a card's device: file, name, help.
const NUMBERS: [(&str, &str, &str); 7] = [
    (
        "gpu_busy_percent",
        "drm_gpu_busy_percent",
        "How busy the GPU is as a percentage.",
    ),
    (
        "mem_info_gtt_total",
        "drm_memory_gtt_size_bytes",
        "The size of the graphics translation table (GTT) block in bytes.",
    ),
    (
        "mem_info_gtt_used",
        "drm_memory_gtt_used_bytes",
        "The used amount of the graphics translation table (GTT) block in bytes.",
    ),
    (
        "mem_info_vis_vram_total",
        "drm_memory_vis_vram_size_bytes",
        "The size of visible VRAM in bytes.",
    ),
    (
        "mem_info_vis_vram_used",
        "drm_memory_vis_vram_used_bytes",
        "The used amount of visible VRAM in bytes.",
    ),
    (
        "mem_info_vram_total",
        "drm_memory_vram_size_bytes",
        "The size of VRAM in bytes.",
    ),
    (
        "mem_info_vram_used",
        "drm_memory_vram_used_bytes",
        "The used amount of VRAM in bytes.",
    ),
];

/// Adds every card of the `amdgpu` driver; others do not have these files.
pub fn update(paths: &Paths, sink: &mut Sink) -> Result<(), CollectError> {
    let base = paths.sys("class/drm");
    for card in list_or_empty(&base) {
        let digits = card.strip_prefix("card").unwrap_or("");
        if digits.len() != 1 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            continue;
        }
        let device = base.join(&card).join("device");
        let Ok(busy) = read_u64(&device.join("gpu_busy_percent")) else {
            continue;
        };
        let text = |file: &str| read_sys(&device.join(file)).unwrap_or_default();
        let labels = [
            ("card", card.as_str()),
            ("memory_vendor", &*text("mem_info_vram_vendor")),
            (
                "power_performance_level",
                &*text("power_dpm_force_performance_level"),
            ),
            ("unique_id", &*text("unique_id")),
            ("vendor", "amd"),
        ];
        sink.gauge("drm_card_info", "Card information", &labels, 1.0);
        for (file, name, help) in NUMBERS {
            let value = if file == "gpu_busy_percent" {
                busy
            } else {
                read_u64(&device.join(file)).unwrap_or(0)
            };
            sink.gauge(name, help, &[("card", &card)], value as f64);
        }
    }
    Ok(())
}
