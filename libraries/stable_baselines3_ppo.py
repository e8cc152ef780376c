# /// script
# dependencies = ["stable-baselines3==2.9.2", "torch==2.13.0"]
# ///
"""PPO of stable-baselines3, which collects its data itself. It has no adapter, no DataLoader and no epochs."""

import gymnasium
import numpy as np
import torch
from compare import Comparison
from stable_baselines3 import PPO

comparison = Comparison()


class Line(gymnasium.Env):
    """A walk on a line: one of two actions moves to the goal."""

    observation_space = gymnasium.spaces.Box(-5, 5, (1,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 0.0
        return np.array([self.place], np.float32), {}

    def step(self, action):
        self.place += 1.0 if action else -1.0
        done = abs(self.place) >= 4
        return np.array([self.place], np.float32), float(self.place), done, False, {}


torch.manual_seed(0)
model = PPO("MlpPolicy", Line(), n_steps=16, batch_size=8, n_epochs=2, device="cpu", seed=0)


class Counted(type(model.policy.optimizer)):
    def step(self, *args, **kwargs):
        found = super().step(*args, **kwargs)
        comparison.finished()
        return found


model.policy.optimizer.__class__ = Counted
evaluate = model.policy.evaluate_actions


def ask(*args, **kwargs):
    comparison.ask([each["lr"] for each in model.policy.optimizer.param_groups])
    return evaluate(*args, **kwargs)


model.policy.evaluate_actions = ask
model.learn(total_timesteps=64)
