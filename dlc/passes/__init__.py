"""Passes over the tensor IR, one a file; `dlc.passes.pipelines` has the order of each level."""
