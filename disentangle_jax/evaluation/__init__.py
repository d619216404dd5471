"""How well a model separates appearance from structure: transfer, baselines, probes, retrieval."""
