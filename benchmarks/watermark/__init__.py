"""How well the watermark survives what happens to clips, how little it shows and what it costs."""
