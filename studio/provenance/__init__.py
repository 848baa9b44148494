"""Where a clip came from: signing identity, manifest, invisible watermark, and reading them back."""
