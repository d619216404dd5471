"""How well appearance and structure were split: probes, retrieval, transfer, baselines, and the report."""
