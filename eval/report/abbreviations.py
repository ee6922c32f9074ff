"""The abbreviations of reports, spelt out at the end of each report that uses them."""

from __future__ import annotations

import re
from dataclasses import replace

from eval.report.document import Report, Section, Table, markdown

ABBREVIATIONS = {
    "gap": "global average pooling: the mean over positions",
    "gem": "generalised mean pooling",
    "mac": "maximum activations of convolutions: the maximum over positions",
    "tta": "test-time augmentation: embeddings of several views of an image are averaged",
    "post": "what is done to embeddings after the network",
    "px": "pixels",
    "map": "mean average precision, over the whole ranking",
    "map@r": "mean average precision at R, the number of relevant images",
    "mrr": "mean reciprocal rank",
    "ndcg": "normalised discounted cumulative gain",
    "ns": "the score of Nistér and Stewénius (UKBench)",
    "ANN": "approximate nearest neighbours",
    "PCA": "principal component analysis",
    "ROC": "receiver operating characteristic",
    "HNSW": "hierarchical navigable small world, a graph index; M: the links of each vector",
    "efC": "efConstruction: the candidates that HNSW keeps while it builds its graph",
    "ef": "candidates that HNSW keeps in a search",
    "IVF_FLAT": "inverted file: vectors in clusters, of which a search looks at some",
    "IVF_SQ8": "inverted file of vectors in 8 bits a number (scalar quantisation)",
    "HNSW_SQ": "HNSW over vectors in 8 bits a number (scalar quantisation)",
    "FLAT": "no index: all vectors are compared",
    "p50": "median: half of the values are at most this",
    "p90": "percentile: 90% of the values are at most this",
    "p99": "percentile: 99% of the values are at most this",
    "p99.9": "percentile: 99.9% of the values are at most this",
    "CPU": "the processor (central processing unit)",
    "MiB": "1,048,576 bytes",
    "REST": "the HTTP interface of bogv's server (representational state transfer)",
    "bf16": "16-bit floating point of float32's range (bfloat16)",
    "f32": "32-bit floating point",
    "int8": "8-bit integers",
}


def spell_out(report: Report) -> Report:
    """The report with those that occur in it, before its last section, the provenance."""
    text = markdown(report)
    rows = [
        [short, spelt_out]
        for short, spelt_out in ABBREVIATIONS.items()
        if re.search(rf"(?<![\w./-]){re.escape(short)}(?![A-Za-z_.-])", text)
    ]
    if not rows:
        return report
    section = Section("Abbreviations", [Table(["", ""], rows)])
    return replace(report, sections=[*report.sections[:-1], section, *report.sections[-1:]])
