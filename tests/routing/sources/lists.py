"""Small price lists in the three shapes, for tests."""

import json
from typing import Any


def litellm(**entries: Any) -> bytes:
    plain = {
        "mode": "chat",
        "litellm_provider": "openai",
        "input_cost_per_token": 1e-06,
        "output_cost_per_token": 2e-06,
    }
    return json.dumps({name: plain | entry for name, entry in entries.items()}).encode()


def models_dev(*models: dict[str, Any], provider: str = "openai") -> bytes:
    plain = {
        "modalities": {"input": ["text"], "output": ["text"]},
        "limit": {"context": 8000, "output": 1000},
        "cost": {"input": 1, "output": 2},
    }
    listed = {model["id"]: plain | model for model in models}
    return json.dumps({provider: {"id": provider, "models": listed}}).encode()


def openrouter(*models: dict[str, Any]) -> bytes:
    plain = {
        "architecture": {"input_modalities": ["text"], "output_modalities": ["text"]},
        "context_length": 8000,
        "pricing": {"prompt": "0.000001", "completion": "0.000002"},
    }
    return json.dumps({"data": [plain | model for model in models]}).encode()
