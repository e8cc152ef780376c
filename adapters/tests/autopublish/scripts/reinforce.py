"""REINFORCE in a corridor: an update for each episode, and no loader."""

import torch
from probe import probe
from torch import nn
from torch.distributions import Categorical

torch.manual_seed(8)
torch.set_num_threads(1)


class Corridor:
    """Five cells; the reward lies in the last one."""

    def reset(self):
        self.cell = 0
        self.age = 0
        return self.observe()

    def step(self, action):
        self.cell = min(4, max(0, self.cell + (1 if action else -1)))
        self.age += 1
        done = self.cell == 4 or self.age == 12
        return self.observe(), 1.0 if self.cell == 4 else -0.1, done

    def observe(self):
        return nn.functional.one_hot(torch.tensor(self.cell), 5).float()


env = Corridor()
policy = nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 2))
optimizer = torch.optim.Adam(policy.parameters(), lr=0.02)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 5, 0.5)

last_loss = None
last_lr = None
for episode in range(12):
    lr = optimizer.param_groups[0]["lr"]
    told_lr = [lr, last_lr, None]
    probe("start", steps=episode, stage=["train", None], epoch=None, iter=episode, lr=told_lr, loss=last_loss)
    state, done, log_probs, rewards = env.reset(), False, [], []
    while not done:
        choice = Categorical(logits=policy(state))
        action = choice.sample()
        log_probs.append(choice.log_prob(action))
        state, reward, done = env.step(action.item())
        rewards.append(reward)

    returns, total = [], 0.0
    for reward in reversed(rewards):
        total = reward + 0.9 * total
        returns.insert(0, total)
    loss = -(torch.stack(log_probs) * torch.tensor(returns)).sum()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    last_loss = loss.item()
    last_lr = lr
    count = [episode, episode + 1]  # without a loader, an iteration is finished with its step
    probe("step", steps=episode + 1, stage=["train", None], epoch=None, iter=count, lr=lr, loss=last_loss)
    scheduler.step()
    print(f"episode {episode}: {len(rewards)} moves, loss {last_loss:.4f}")

probe("end", steps=12, epoch=None, iter=[11, 12, None], lr=[last_lr, None], loss=[last_loss, None])
