"""The network of forecasting: few recurrent steps over segments of the context, the future decoded in parallel.

The idea is that of SegRNN (Lin et al., 2023, arXiv:2308.11200): every target runs alone through the same weights,
its last value taken off and put back in the end; a segment of the context is one step of the recurrence; the segments
of the horizon are each one further step from the last state, told apart by an embedding of their position and of the
target. Beyond that, here every context is also brought to the same spread, segments see what is known beside the
targets, and quantiles are read off. After training, the point forecast becomes a weighted mean with the baselines, see
`recurra.tasks.forecast.baselines.mixture`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from recurra.data.batching.windows import Layout
from recurra.nn import Memoryless, RecurrentSpec
from recurra.ops import Linear, linear
from recurra.ops import dropout as drop

from .baselines.mixture import ALONE, Shares

QUIET = 0.1  # in standard deviations of the training part


class ForecastNetwork(torch.nn.Module):
    """Forecasts all steps of the horizon at once.

    Args:
        layout: what the columns of a step are.
        context: steps that it reads.
        horizon: steps that it forecasts.
        segment: steps that are read, and forecast where the horizon is as long, together.
        quantiles: outputs for each step beside the point forecast.
        recurrent: options of the recurrent layers. `hidden_size` is also the size of a segment's vector. The dropout is
            also applied before the output. Without memory (`cell="none"`) the network sees the last segment only.
        season: steps of a season, 1 for none.
        shares: weights of the baselines and of the network in the point forecast; the network alone in training. The
            distances of the quantiles have the weight of the network, too.

    Example:
        >>> network = ForecastNetwork(Layout(2), 48, 12, 6, recurrent=RecurrentSpec("gru", hidden_size=8))
        >>> tuple(network(torch.zeros(5, 48, 2), torch.zeros(5, 12, 0)).shape)
        (5, 12, 2, 1)
    """

    def __init__(
        self,
        layout: Layout,
        context: int,
        horizon: int,
        segment: int,
        quantiles: int = 0,
        *,
        recurrent: RecurrentSpec,
        season: int = 1,
        shares: Shares = ALONE,
    ) -> None:
        super().__init__()
        self.layout, self.horizon, self.segment = layout, horizon, segment
        self.season, self.shares = season, shares
        self.dropout = recurrent.dropout
        self.written = min(segment, horizon)
        self.filling = -context % segment
        self.coming = -(-horizon // self.written)
        size = recurrent.hidden_size
        self.read = Linear(segment * (1 + layout.masked), size)
        side = layout.context_covariates.stop - layout.context_covariates.start + layout.features * layout.masked
        self.beside = Linear(segment * side, size, bias=False) if side else None
        self.recurrent = recurrent.build(size)
        self.memoryless = isinstance(self.recurrent, Memoryless)
        self.position = torch.nn.Parameter(torch.randn(self.coming, size - size // 2))
        self.target = torch.nn.Parameter(torch.randn(layout.targets, size // 2))
        self.ahead = Linear(self.written * layout.known, size, bias=False) if layout.known else None
        self.write = Linear(size, self.written)
        self.linear_weight: Tensor
        self.linear_bias: Tensor
        self.shifts: Tensor
        # beside the network: the linear reference, and what calibrates the quantiles
        self.register_buffer("linear_weight", torch.zeros(context, horizon))
        self.register_buffer("linear_bias", torch.zeros(horizon))
        self.register_buffer("shifts", torch.zeros(horizon, layout.targets, quantiles))
        self.spread = Linear(size, self.written * quantiles) if quantiles else None

    def forward(self, values: Tensor, future: Tensor) -> Tensor:
        """Forecasts.

        Args:
            values: `(batch, context, columns)`.
            future: known columns of the steps to forecast `(batch, horizon, known)`.

        Returns:
            `(batch, horizon, targets, 1 + quantiles)`: the point forecast, then the quantiles.
        """
        batch = len(values)
        last, steps, size = self._centred(values)
        state: Any = self._read(values, steps / size)[1]
        state = state if isinstance(state, tuple) else (state,)
        queries = self._queries(future, batch)
        queries = queries.reshape(-1, 1, queries.shape[-1])
        repeated: Any = tuple(s.repeat_interleave(self.coming, 1) for s in state)  # one run for each segment to come
        if self.memoryless:
            output, _ = self.recurrent(queries + repeated[0][0].unsqueeze(1))
        else:
            output, _ = self.recurrent(queries, repeated if len(repeated) > 1 else repeated[0])
        features = drop(output[:, 0], self.dropout, training=self.training)
        size, last = size.unsqueeze(-1), last.unsqueeze(-1)
        found = self._in_order(self.write(features), batch, 1) * size
        if self.shares.network < 1:
            weight, bias = self.base()
            found = found * self.shares.network + linear(steps.transpose(1, 2), weight, bias).mT.unsqueeze(-1)
        found = found + last
        if self.spread is None:
            return found
        # quantiles are read off beside the point forecast: learning them moves neither it nor the features
        spread = self._in_order(self.spread(features.detach()), batch, -1) * size * self.shares.network
        return torch.cat([found, found.detach() + spread], -1)

    def states(self, values: Tensor) -> Tensor:
        """States of the top layer for each segment of the context `(batch, segments, targets * size)`."""
        _, steps, size = self._centred(values)
        output = self._read(values, steps / size)[0].unflatten(0, (len(values), self.layout.targets))
        return output.transpose(1, 2).flatten(2)

    def _centred(self, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The last targets, the differences of all targets from them, and the size of these differences."""
        targets = values[:, :, : self.layout.targets]
        last = targets[:, -1:]
        steps = targets - last
        # contexts of any size look alike; nearly constant ones are not blown up; without memory no past is seen
        size = torch.ones_like(last) if self.memoryless else steps.std(1, correction=0, keepdim=True) + QUIET
        return last, steps, size

    def base(self) -> tuple[Tensor, Tensor]:
        """The share of the baselines as a linear map of the differences from the last value.

        Returns:
            Weight `(horizon, context)` and bias `(horizon,)`.
        """
        weight = self.linear_weight * self.shares.linear
        if self.shares.season:
            steps = torch.arange(self.horizon, device=weight.device)
            weight[steps % self.season - self.season, steps] += self.shares.season
        return weight.T.contiguous(), self.linear_bias * self.shares.linear

    def _in_order(self, written: Tensor, batch: int, outputs: int) -> Tensor:
        """Segments `(batch * targets * segments, outputs * steps)` as `(batch, horizon, targets, outputs)`."""
        steps = written.unflatten(0, (batch, self.layout.targets, self.coming)).unflatten(3, (outputs, self.written))
        return steps.permute(0, 2, 4, 1, 3).flatten(1, 2)[:, : self.horizon]

    def _read(self, values: Tensor, steps: Tensor) -> tuple[Tensor, Any]:
        """Output for the segments of the context `(batch * targets, segments, size)`, and state after them."""
        layout, batch = self.layout, len(values)
        if self.filling:
            values = torch.cat([values[:, :1].expand(-1, self.filling, -1), values], 1)
            steps = torch.cat([steps[:, :1].expand(-1, self.filling, -1), steps], 1)
        steps = self._segments(steps)
        mask = layout.ahead.stop
        if layout.masked:
            steps = torch.cat([steps, self._segments(values[:, :, mask : mask + layout.targets])], -1)
        read = self.read(steps)
        if self.beside is not None:
            parts = [values[:, :, layout.context_covariates]]
            if layout.masked:
                parts.append(values[:, :, mask + layout.targets :])
            beside = torch.cat(parts, -1)
            read = read + self.beside(beside.reshape(batch, 1, steps.shape[2], -1))
        read = torch.relu(read)
        return self.recurrent(read.reshape(-1, *read.shape[2:]))

    def _segments(self, columns: Tensor) -> Tensor:
        """Segments of each column alone: `(batch, columns, segments, segment)`."""
        return columns.transpose(1, 2).unflatten(2, (-1, self.segment))

    def _queries(self, future: Tensor, batch: int) -> Tensor:
        """Returns the queries for the segments to forecast: `(batch, targets, segments, size)`."""
        targets = self.layout.targets
        position = self.position.expand(targets, -1, -1)
        target = self.target.unsqueeze(1).expand(-1, self.coming, -1)
        queries = torch.cat([position, target], -1).expand(batch, -1, -1, -1)
        if self.ahead is None:
            return queries
        missing = self.coming * self.written - self.horizon
        if missing:
            future = torch.cat([future, future[:, -1:].expand(-1, missing, -1)], 1)
        return queries + self.ahead(future.reshape(batch, 1, self.coming, -1))
