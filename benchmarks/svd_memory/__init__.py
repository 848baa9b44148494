"""What Stable Video Diffusion takes at full size, stock and by the studio's plans, counted on the meta device."""
