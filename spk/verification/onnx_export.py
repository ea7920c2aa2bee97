"""The network for ONNX: normalisation and network, features to embedding, for any number of frames."""

from __future__ import annotations

import io
import json
import logging
import os
import warnings
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np
import torch

from spk.data.files import whole_file
from spk.errors import InputError
from spk.nets.embedder import Embedder

OPSET = 17  # of 2022: what older runtimes and other accelerators have, too
EXPORTED_FRAMES = 300  # what is traced; the length is open in what comes out
TOLERANCE = 1e-4  # of the largest value; rounding is a hundredth of that


def onnx_module(name: str) -> ModuleType:
    """onnx or onnxruntime. Raises: InputError where it is not installed: nothing else needs them."""
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(f"{name} is not installed ({error}); ./run.sh --stop-stage 0 installs it") from None


def export_onnx(embedder: Embedder, num_bins: int, config: Mapping[str, Any], path: str | os.PathLike[str]) -> float:
    """Write the model and return the largest difference that `parity` finds, which is checked before.

    Input `features` float32 [N, T, num_bins] as the front end makes them, output `embedding` [N, D]; N and T are open,
    and all N have T real frames. Metadata: `config` (the system's, JSON), `num_bins`, `min_frames`. Shorter inputs are
    to be repeated to min_frames. Raises: InputError where ONNX's embeddings are not the network's.
    """
    onnx = onnx_module("onnx")
    onnx_module("onnxruntime")
    embedder = embedder.eval().cpu()
    model = onnx.load_from_string(traced(embedder, num_bins))
    for key, value in (("config", json.dumps(config)), ("num_bins", num_bins), ("min_frames", embedder.min_frames)):
        model.metadata_props.add(key=key, value=str(value))
    onnx.checker.check_model(model)
    content = model.SerializeToString()
    difference = parity(embedder, num_bins, content)
    if not difference <= TOLERANCE:
        raise InputError(f"{path}: not written: its embeddings differ from the network's by {difference:.2g} of them")
    with whole_file(path, "wb") as file:
        file.write(content)
    return difference


def traced(embedder: Embedder, num_bins: int) -> bytes:
    example = torch.zeros(1, max(EXPORTED_FRAMES, embedder.min_frames), num_bins)
    content = io.BytesIO()
    exporter = logging.getLogger("torch.onnx")
    level = exporter.level
    exporter.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # That this exporter is the older one, and that checks of sizes hold for the example alone: both are meant.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                embedder,
                (example,),
                content,
                dynamo=False,
                opset_version=OPSET,
                input_names=["features"],
                output_names=["embedding"],
                dynamic_axes={"features": {0: "utterances", 1: "frames"}, "embedding": {0: "utterances"}},
            )
    finally:
        exporter.setLevel(level)
    return content.getvalue()


@torch.inference_mode()
def parity(embedder: Embedder, num_bins: int, content: bytes, seed: int = 1) -> float:
    """The largest difference between onnxruntime's embeddings and torch's, over the largest value, at five lengths."""
    runtime = onnx_module("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()  # by itself it would take all cores
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(seed)
    worst = 0.0
    shortest = embedder.min_frames
    for frames in (shortest, shortest + 1, shortest + 98, EXPORTED_FRAMES + shortest, 2 * EXPORTED_FRAMES + 1):
        features = random.standard_normal((2, frames, num_bins)).astype(np.float32)
        theirs = session.run(None, {"features": features})[0]
        ours = embedder(torch.from_numpy(features.copy())).numpy()
        worst = max(worst, float(np.abs(theirs - ours).max() / np.abs(ours).max()))
    return worst
