"""Embeddings at Vertex AI: `embedContent` for newer models of Gemini, `predict` for those before. A text too long is an error, not cut.

Sources: google-genai 3.4, which takes batchEmbedContents for several texts. Not verified: that `gemini-embedding-001` is asked by predict,
and what predict answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rateguard.engine.providers.base import Target
from rateguard.engine.providers.gemini.embeddings import content_of, texts_of


def write(target: Target, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """What is asked of the model, and the body. Raises InvalidRequest."""
    texts, model = texts_of(body), target.upstream_model
    dimensions, task = body.get("dimensions"), target.options.get("task_type")
    if "gemini" not in model or "gemini-embedding-001" in model:
        return "predict", _predict(texts, dimensions, task)
    config = {"autoTruncate": False, "outputDimensionality": dimensions, "taskType": task}
    said = {name: value for name, value in config.items() if value is not None}
    requests = [{"content": content_of(text), "embedContentConfig": said} for text in texts]
    return ("embedContent", requests[0]) if len(requests) == 1 else ("batchEmbedContents", {"requests": requests})


def _predict(texts: list[str], dimensions: Any, task: Any) -> dict[str, Any]:
    parameters: dict[str, Any] = {"autoTruncate": False}
    if dimensions is not None:
        parameters["outputDimensionality"] = dimensions
    return {"instances": [{"content": text, **({"task_type": task} if task else {})} for text in texts], "parameters": parameters}
