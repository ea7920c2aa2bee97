"""Every network, by onnxruntime and by torch."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from spk.errors import InputError
from spk.nets import NETWORKS
from spk.nets.embedder import build_embedder
from spk.verification import onnx_export

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


@pytest.mark.parametrize("name", NETWORKS)
def test_the_embeddings_of_a_network_are_the_same_at_any_length(name, tmp_path):
    torch.manual_seed(0)
    embedder = build_embedder("instance", {"name": name, "channels": 0.25}, num_bins=40).eval()
    onnx_export.export_onnx(embedder, 40, {"network": {"name": name}}, tmp_path / "x.onnx")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(tmp_path / "x.onnx", options, providers=["CPUExecutionProvider"])
    for frames in (embedder.min_frames, 123, 400):
        features = torch.randn(2, frames, 40)
        with torch.inference_mode():
            expected = embedder(features.clone()).numpy()
        (given,) = session.run(None, {"features": features.numpy()})
        np.testing.assert_allclose(given, expected, atol=1e-5 * np.abs(expected).max())
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["config"]) == {"network": {"name": name}}
    assert int(metadata["min_frames"]) == embedder.min_frames and metadata["num_bins"] == "40"


def test_a_model_that_differs_is_not_written(tmp_path, monkeypatch):
    embedder = build_embedder("instance", {"name": "xvector"}, num_bins=40).eval()
    other = build_embedder("instance", {"name": "xvector"}, num_bins=40).eval()
    content = onnx_export.traced(other, 40)
    monkeypatch.setattr(onnx_export, "traced", lambda *arguments: content)
    with pytest.raises(InputError, match="not written: its embeddings differ"):
        onnx_export.export_onnx(embedder, 40, {}, tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()
