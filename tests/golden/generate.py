#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Golden values for tests/golden/*.c, from PyTorch in double precision.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install torch
    /tmp/venv/bin/python tests/golden/generate.py tests/golden/data

Inputs and parameters are drawn in single precision, so that both sides start from the same numbers;
everything is then computed in double precision, and stored in single. Nothing of this is needed to
build, test or run: the outputs are checked in.

A file is "DRPCGOLD" and tensors: u32 length of the name, name, u32 dimensions, u32 each, f32 data;
little-endian, row-major.
"""
import copy
import struct
import sys

import torch
from torch import nn
from torch.nn import functional as F

torch.set_num_threads(1)


class File:
    def __init__(self, path):
        self.out = open(path, "wb")
        self.out.write(b"DRPCGOLD")

    def put(self, name, tensor):
        tensor = tensor.detach().to(torch.float32).contiguous()
        raw = name.encode()
        self.out.write(struct.pack("<I", len(raw)) + raw)
        self.out.write(struct.pack("<I", tensor.dim()))
        self.out.write(struct.pack("<%dI" % tensor.dim(), *tensor.shape))
        self.out.write(tensor.numpy().astype("<f4").tobytes())

    def put_linear(self, prefix, linear, what=lambda p: p):
        self.put(prefix + ".w", what(linear.weight))
        self.put(prefix + ".b", what(linear.bias))

    def close(self):
        self.out.close()


def draw(*shape):
    return torch.randn(*shape, dtype=torch.float32).double()


def doubled(module):
    """Single-precision start values in double precision."""
    return module.float().double()


def grad(p):
    return p.grad


# --- one layer each -----------------------------------------------------------------------------
ACTS = {"none": lambda x: x, "relu": torch.relu, "tanh": torch.tanh}


def layers(path):
    torch.manual_seed(1)
    f = File(path)
    for norm in (False, True):
        for act in ACTS:
            name = ("norm_" if norm else "") + act
            linear = doubled(nn.Linear(13, 21))
            ln = doubled(nn.LayerNorm(21))
            with torch.no_grad():
                ln.weight.copy_(1 + 0.3 * draw(21))
                ln.weight.copy_(ln.weight.float().double())
                ln.bias.copy_(0.3 * draw(21))
                ln.bias.copy_(ln.bias.float().double())
            x = draw(37, 13).requires_grad_()
            target = draw(37, 21)
            y = linear(x)
            y = ACTS[act](ln(y) if norm else y)
            loss = F.mse_loss(y, target)
            loss.backward()
            f.put(name + ".x", x)
            f.put(name + ".target", target)
            f.put_linear(name, linear)
            f.put(name + ".y", y)
            f.put(name + ".loss", loss.reshape(1))
            f.put_linear(name + ".d", linear, grad)
            f.put(name + ".dx", x.grad)
            if norm:
                f.put(name + ".gamma", ln.weight)
                f.put(name + ".beta", ln.bias)
                f.put(name + ".dgamma", ln.weight.grad)
                f.put(name + ".dbeta", ln.bias.grad)
    f.close()


# --- optimisers ---------------------------------------------------------------------------------
def optimisers(path):
    torch.manual_seed(2)
    f = File(path)
    grads = draw(10, 301) * torch.logspace(-6, 2, 301, dtype=torch.float64)
    grads = grads.float().double()
    start = draw(301)
    f.put("start", start)
    f.put("grads", grads)
    for name, make in (
        ("adam", lambda p: torch.optim.Adam([p], lr=3e-4)),
        ("adamw", lambda p: torch.optim.AdamW([p], lr=1e-2, weight_decay=0.1)),
        ("clipped", lambda p: torch.optim.Adam([p], lr=3e-4)),
    ):
        p = start.clone().requires_grad_()
        optimiser = make(p)
        for g in grads:
            p.grad = g.clone()
            if name == "clipped":
                nn.utils.clip_grad_norm_([p], 5.0)
            optimiser.step()
        state = optimiser.state[p]
        f.put(name + ".p", p)
        f.put(name + ".m", state["exp_avg"])
        f.put(name + ".v", state["exp_avg_sq"])
    f.close()


# --- recurrent ----------------------------------------------------------------------------------
def recurrent(path):
    torch.manual_seed(3)
    f = File(path)
    steps, rows, inputs, hidden = 24, 5, 8, 20
    for name, kind in (("gru", nn.GRU), ("lstm", nn.LSTM)):
        net = doubled(kind(inputs, hidden))
        x = draw(steps, rows, inputs).requires_grad_()
        target = draw(steps, rows, hidden)
        y, _ = net(x)
        loss = F.mse_loss(y, target)
        loss.backward()
        f.put(name + ".x", x)
        f.put(name + ".target", target)
        for part in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"):
            f.put(name + "." + part, getattr(net, part))
            f.put(name + ".d." + part, getattr(net, part).grad)
        f.put(name + ".y", y)
        f.put(name + ".loss", loss.reshape(1))
        f.put(name + ".dx", x.grad)
    f.close()


# --- TD3 ----------------------------------------------------------------------------------------
class Net(nn.Module):
    """The networks of teacher/net.h: joint, or pooled over the deployments of a sample."""

    def __init__(self, inputs, out, hidden, norm, embed, squash):
        super().__init__()
        self.embed = nn.Linear(inputs, embed) if embed else None
        self.embed_norm = nn.LayerNorm(embed) if embed and norm else None
        self.wmean = nn.Parameter(torch.randn(embed, hidden[0]) * 0.2) if embed else None
        self.wmax = nn.Parameter(torch.randn(embed, hidden[0]) * 0.2) if embed else None
        sizes = [inputs] + hidden
        self.linear = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, hidden + [out]))
        self.norm = nn.ModuleList(nn.LayerNorm(h) for h in hidden) if norm else None
        self.squash = squash

    def forward(self, x):  # [batch, units, inputs]
        h = self.linear[0](x)
        if self.embed is not None:
            e = self.embed(x)
            e = torch.relu(self.embed_norm(e) if self.embed_norm is not None else e)
            pool = e.mean(1) @ self.wmean + e.max(1).values @ self.wmax
            h = h + pool.unsqueeze(1)
        for i in range(len(self.linear) - 1):
            h = torch.relu(self.norm[i](h) if self.norm is not None else h)
            h = self.linear[i + 1](h)
        return torch.tanh(h) if self.squash else h

    def put(self, f, prefix, what=lambda p: p):
        if self.embed is not None:
            f.put_linear(prefix + ".embed", self.embed, what)
            f.put(prefix + ".wmean", what(self.wmean))
            f.put(prefix + ".wmax", what(self.wmax))
            if self.embed_norm is not None:
                f.put(prefix + ".embed.gamma", what(self.embed_norm.weight))
                f.put(prefix + ".embed.beta", what(self.embed_norm.bias))
        for i, linear in enumerate(self.linear):
            f.put_linear("%s.%d" % (prefix, i), linear, what)
            if self.norm is not None and i < len(self.norm):
                f.put("%s.%d.gamma" % (prefix, i), what(self.norm[i].weight))
                f.put("%s.%d.beta" % (prefix, i), what(self.norm[i].bias))


def td3(path, units, state, action, hidden, norm, embed, seed):
    torch.manual_seed(seed)
    f = File(path)
    batch, updates, gamma, tau, lr = 32, 10, 0.99, 0.005, 3e-4
    actor = doubled(Net(state, action, hidden, norm, embed, True))
    critics = [doubled(Net(state + action, 1, hidden, norm, embed, False)) for _ in range(2)]
    actor_target = copy.deepcopy(actor)
    critic_targets = copy.deepcopy(critics)
    actor_opt = torch.optim.Adam(actor.parameters(), lr=lr)
    critic_opt = torch.optim.Adam([p for c in critics for p in c.parameters()], lr=lr)

    def value(critic, s, a):
        return critic(torch.cat([s, a], -1)).mean(1)[:, 0]

    actor.put(f, "start.actor")
    for k in range(2):
        critics[k].put(f, "start.critic%d" % k)
    for i in range(updates):
        s, s2 = draw(batch, units, state), draw(batch, units, state)
        a = draw(batch, units, action).clamp(-1, 1).float().double()
        noise = (draw(batch, units, action) * 0.3).float().double()
        r = draw(batch)
        done = (torch.rand(batch) < 0.1).double()
        for name, t in (("s", s), ("a", a), ("s2", s2), ("noise", noise), ("r", r), ("done", done)):
            f.put("%d.%s" % (i, name), t)
        with torch.no_grad():
            a2 = (actor_target(s2) + noise.clamp(-0.5, 0.5)).clamp(-1, 1)
            q2 = torch.min(*[value(c, s2, a2) for c in critic_targets])
            y = r + gamma * (1 - done) * q2
        losses = [F.mse_loss(value(c, s, a), y) for c in critics]
        critic_opt.zero_grad()
        sum(losses).backward()
        f.put("%d.critic_loss" % i, sum(losses).reshape(1))
        if i == 0:
            for k in range(2):
                critics[k].put(f, "grad.critic%d" % k, grad)
        critic_opt.step()
        if i % 2 == 1:
            loss = -value(critics[0], s, actor(s)).mean()
            actor_opt.zero_grad()
            loss.backward()
            f.put("%d.actor_loss" % i, loss.reshape(1))
            if i == 1:
                actor.put(f, "grad.actor", grad)
            actor_opt.step()
            with torch.no_grad():
                pairs = [(actor, actor_target)] + list(zip(critics, critic_targets))
                for net, target in pairs:
                    for p, t in zip(net.parameters(), target.parameters()):
                        t += tau * (p - t)
    actor.put(f, "end.actor")
    actor_target.put(f, "end.actor_target")
    for k in range(2):
        critics[k].put(f, "end.critic%d" % k)
        critic_targets[k].put(f, "end.critic%d_target" % k)
    f.close()


def main():
    folder = sys.argv[1]
    layers(folder + "/layers.bin")
    optimisers(folder + "/optimisers.bin")
    recurrent(folder + "/recurrent.bin")
    td3(folder + "/td3_joint.bin", 1, 6, 2, [32, 24], False, 0, 4)
    td3(folder + "/td3_joint_norm.bin", 1, 6, 2, [32, 24], True, 0, 5)
    td3(folder + "/td3_pooled.bin", 3, 4, 2, [24, 16], True, 10, 6)


if __name__ == "__main__":
    main()
