"""A BERT-like encoder with Hugging Face's parameter names, and what usually stands on it."""

import torch
from torch import Tensor, nn

from emoserve_export.networks.bert import Bert, BertSize, mean_pool
from emoserve_export.networks.unpadded import UnpaddedBert


class _OnBert(nn.Module):
    """What stands on a `Bert`."""

    def __init__(self, size: BertSize) -> None:
        super().__init__()
        self.bert: nn.Module = Bert(size)

    def leave_out_padding(self) -> None:
        """Compute nothing for padding any more."""
        assert isinstance(self.bert, Bert)
        self.bert = UnpaddedBert(self.bert)


class BertEncoder(_OnBert):
    """Token ids to one vector for each text: the mean over the tokens that are there."""

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return float32 [batch, hidden] for int64 [batch, tokens] twice."""
        return mean_pool(self.bert(input_ids, attention_mask), attention_mask)


class BertClassifier(_OnBert):
    """Hugging Face's `BertForSequenceClassification`: the first token, a tanh layer, classes."""

    def __init__(self, size: BertSize, classes: int) -> None:
        super().__init__(size)
        self.pooler = nn.ModuleDict({"dense": nn.Linear(size.hidden, size.hidden)})
        self.classifier = nn.Linear(size.hidden, classes)

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> tuple[Tensor, Tensor]:
        """Return probabilities float32 [batch, classes] and the vector float32 [batch, hidden]."""
        first = self.bert(input_ids, attention_mask)[:, 0]
        embedding = torch.tanh(self.pooler["dense"](first))
        return torch.softmax(self.classifier(embedding), dim=1), embedding
