"""How a registered model goes live: candidates, gate, deployment, smoke test, traffic, and the way back."""
