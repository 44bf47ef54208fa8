#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times TD3 updates, Pendulum, a student, distillation and a GRU in PyTorch and Stable-Baselines3.

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install torch stable-baselines3
    /tmp/venv/bin/python tests/peers/td3.py [--bench build/release/drpc-bench] [NAME...]

NAME: td3 sb3 pendulum student distil gru (default: all). One thread, one core, all in one run; with
--bench the same shapes by drpc-bench in turns with the peers. Prints lines of JSON. Never needed to
build, test or run drpc. Figures are medians of thread time in microseconds.
"""
import argparse
import json
import os
import statistics
import subprocess
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
import torch  # noqa: E402
from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

torch.set_num_threads(1)

SHAPES = [
    # state, action, hidden, LayerNorm, batch
    (17, 6, (256, 256), False, 256),
    (200, 120, (400, 300), True, 256),
    (17, 6, (64, 64), False, 256),
    (3, 1, (64, 64), False, 100),
]


def median_us(step, seconds=4.0, warm=20):
    for _ in range(warm):
        step()
    times, end = [], time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.thread_time_ns()
        step()
        times.append((time.thread_time_ns() - begin) / 1e3)
    return statistics.median(times)


def say(**figures):
    print(json.dumps(figures), flush=True)


def mlp(inputs, hidden, out, norm, squash):
    layers, width = [], inputs
    for h in hidden:
        layers += [nn.Linear(width, h)] + ([nn.LayerNorm(h)] if norm else []) + [nn.ReLU()]
        width = h
    layers += [nn.Linear(width, out)] + ([nn.Tanh()] if squash else [])
    return nn.Sequential(*layers)


class TD3:
    """The reference update (sfujim/TD3), with batches drawn from tensors in memory."""

    def __init__(self, state, action, hidden, norm, batch, compiled=False):
        self.batch, self.updates = batch, 0
        self.actor, self.actor_target = (mlp(state, hidden, action, norm, True) for _ in range(2))
        self.critics = nn.ModuleList(mlp(state + action, hidden, 1, norm, False) for _ in range(2))
        self.targets = nn.ModuleList(mlp(state + action, hidden, 1, norm, False) for _ in range(2))
        self.actor_opt = torch.optim.Adam(self.actor.parameters(), lr=3e-4, foreach=True)
        self.critic_opt = torch.optim.Adam(self.critics.parameters(), lr=3e-4, foreach=True)
        n = 100000
        self.data = [torch.rand(n, state), torch.rand(n, action) * 2 - 1, torch.rand(n, state),
                     torch.rand(n, 1), torch.rand(n, 1) < 0.01]
        self.critic_loss_fn = self.critic_loss
        self.actor_loss_fn = self.actor_loss
        if compiled:
            self.critic_loss_fn = torch.compile(self.critic_loss)
            self.actor_loss_fn = torch.compile(self.actor_loss)

    def critic_loss(self, s, a, s2, r, done):
        with torch.no_grad():
            noise = (torch.randn_like(a) * 0.2).clamp(-0.5, 0.5)
            x2 = torch.cat([s2, (self.actor_target(s2) + noise).clamp(-1, 1)], 1)
            y = r + 0.99 * (~done) * torch.min(self.targets[0](x2), self.targets[1](x2))
        x = torch.cat([s, a], 1)
        return F.mse_loss(self.critics[0](x), y) + F.mse_loss(self.critics[1](x), y)

    def actor_loss(self, s):
        return -self.critics[0](torch.cat([s, self.actor(s)], 1)).mean()

    def update(self):
        at = torch.randint(0, len(self.data[0]), (self.batch,))
        s, a, s2, r, done = (t[at] for t in self.data)
        loss = self.critic_loss_fn(s, a, s2, r, done)
        self.critic_opt.zero_grad()
        loss.backward()
        self.critic_opt.step()
        self.updates += 1
        if self.updates % 2 == 0:
            loss = self.actor_loss_fn(s)
            self.actor_opt.zero_grad()
            loss.backward()
            self.actor_opt.step()
            with torch.no_grad():
                for net, target in ((self.actor, self.actor_target), (self.critics, self.targets)):
                    torch._foreach_lerp_(list(target.parameters()), list(net.parameters()), 0.005)

    def pair(self):
        self.update()
        self.update()


def ours(bench, *arguments):
    if not bench:
        return {}
    out = subprocess.run([bench, *arguments, "--json"], capture_output=True, check=True)
    return {f["name"]: f["value"] for f in json.loads(out.stdout)}


def td3(bench):
    for state, action, hidden, norm, batch in SHAPES:
        shape = ["--state", str(state), "--action", str(action), "--batch", str(batch),
                 "--hidden", ",".join(map(str, hidden))] + (["--layernorm"] if norm else [])
        eager = median_us(TD3(state, action, hidden, norm, batch).pair) / 2
        drpc = ours(bench, "td3", *shape)
        compiled = median_us(TD3(state, action, hidden, norm, batch, True).pair) / 2
        say(name="td3", state=state, action=action, hidden=hidden, layernorm=norm, batch=batch,
            pytorch_eager_us=eager, pytorch_compiled_us=compiled, drpc=drpc)


def sb3(bench):
    import gymnasium
    import numpy as np
    from stable_baselines3 import TD3 as SB3

    class Blank(gymnasium.Env):
        def __init__(self, state, action):
            self.observation_space = gymnasium.spaces.Box(-1, 1, (state,), np.float32)
            self.action_space = gymnasium.spaces.Box(-1, 1, (action,), np.float32)

        def reset(self, seed=None, options=None):
            return self.observation_space.sample(), {}

        def step(self, action):
            return self.observation_space.sample(), 0.0, False, False, {}

    for state, action, hidden, norm, batch in SHAPES:
        if norm:
            continue  # its policy has no LayerNorm
        model = SB3("MlpPolicy", Blank(state, action), batch_size=batch, buffer_size=5000,
                    learning_starts=2000, policy_kwargs={"net_arch": list(hidden)}, device="cpu")
        model.learn(2001)
        us = median_us(lambda: model.train(gradient_steps=2, batch_size=batch)) / 2
        say(name="sb3", state=state, action=action, hidden=hidden, batch=batch, sb3_us=us)


def pendulum(bench):
    import numpy as np
    from stable_baselines3 import TD3 as SB3
    from stable_baselines3.common.monitor import Monitor
    from stable_baselines3.common.noise import NormalActionNoise
    import gymnasium

    drpc = ours(bench, "pendulum")
    for seed in range(3):
        env = Monitor(gymnasium.make("Pendulum-v1"))
        model = SB3("MlpPolicy", env, learning_rate=1e-3, gamma=0.98, tau=0.01, batch_size=100,
                    buffer_size=20000, learning_starts=600, train_freq=1, gradient_steps=1,
                    action_noise=NormalActionNoise(np.zeros(1), 0.1 * np.ones(1)),
                    policy_kwargs={"net_arch": [64, 64]}, seed=seed, device="cpu")
        begin = time.process_time()
        model.learn(60 * 200)
        seconds = time.process_time() - begin
        returns = env.get_episode_rewards()
        solved = next((i for i in range(10, len(returns) + 1)
                       if sum(returns[i - 10:i]) / 10 >= -200), None)
        say(name="pendulum", seed=seed, sb3_episodes=solved,
            sb3_cpu_s=seconds * solved / 60 if solved else None, drpc=drpc)
        drpc = None


def student(bench):
    net = nn.Sequential(nn.Linear(5, 20), nn.LayerNorm(20), nn.ReLU(), nn.Linear(20, 20),
                        nn.Linear(20, 3), nn.Tanh())
    one, many = torch.rand(1, 5), torch.rand(120, 5)
    with torch.inference_mode():
        say(name="student", pytorch_1_us=median_us(lambda: net(one)),
            pytorch_120_us=median_us(lambda: net(many)), drpc=ours(bench, "student"))


def distil(bench):
    net = nn.Sequential(nn.Linear(5, 20), nn.LayerNorm(20), nn.ReLU(), nn.Linear(20, 20),
                        nn.Linear(20, 3), nn.Tanh())
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-4, foreach=True)
    x, y = torch.rand(64, 5), torch.rand(64, 3) * 2 - 1
    loss_of = {"eager": lambda: F.mse_loss(net(x), y)}
    loss_of["compiled"] = torch.compile(loss_of["eager"])

    def step(kind):
        loss = loss_of[kind]()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    say(name="distil", pytorch_eager_us=median_us(lambda: step("eager")),
        pytorch_compiled_us=median_us(lambda: step("compiled")), drpc=ours(bench, "distil"))


def gru(bench):
    net, head = nn.GRU(8, 32), nn.Linear(32, 5)
    parameters = list(net.parameters()) + list(head.parameters())
    optimiser = torch.optim.Adam(parameters, lr=1e-3, foreach=True)
    x, y, one = torch.rand(24, 64, 8), torch.rand(64, 5), torch.rand(24, 1, 8)

    def step():
        loss = F.mse_loss(head(net(x)[0][-1]), y)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()

    def infer():
        with torch.inference_mode():
            head(net(one)[0][-1])

    say(name="gru", pytorch_train_us=median_us(step), pytorch_infer_us=median_us(infer),
        drpc=ours(bench, "gru"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bench", help="path of drpc-bench")
    parser.add_argument("--cpu", type=int, default=0)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, {arguments.cpu})
    for peer in (td3, sb3, pendulum, student, distil, gru):
        if not arguments.names or peer.__name__ in arguments.names:
            peer(arguments.bench)


if __name__ == "__main__":
    main()
