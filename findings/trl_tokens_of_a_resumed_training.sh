#!/usr/bin/env bash
# TRL 1.16.0 with Transformers 5.24.0: the logged `num_tokens` begins at 0 again when a training is resumed.
#
# Guess before: the `num_tokens` that SFTTrainer logs goes on after `train(resume_from_checkpoint=True)`, as
# `global_step` does.
# Seen: it is an attribute of the new trainer, and is not saved. Six batches with 18 tokens each give 18 to 54 before
# the interruption at step 3, and 18 to 54 again after it. `num_input_tokens_seen` of Transformers, in the same line of
# the log, goes on to 108.
# Met by: losses that are plotted over tokens; budgets and stops by tokens in jobs that are preempted.
#
# It needs Python 3.11 and a package index. It fails if the behaviour changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/python" -m pip install --quiet torch==2.13.0 trl==1.16.0 transformers==5.24.0 accelerate==1.15.0 datasets==5.2.0
cat > "$folder/finding.py" <<'PYTHON'
import contextlib
import io
import os
import sys

os.environ["TRANSFORMERS_VERBOSITY"] = "error"
import datasets
import tokenizers
import transformers
import trl

datasets.disable_progress_bars()
words = {"<pad>": 0, "<eos>": 1, "<unk>": 2, "the": 3, "cat": 4, "sat": 5}
inner = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
inner.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
tokenizer = transformers.PreTrainedTokenizerFast(
    tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
)
data = datasets.Dataset.from_dict({"text": ["the cat sat the cat sat the cat"] * 12})


class Interrupt(transformers.TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 3:
            control.should_save = control.should_training_stop = True


def train(resume, callbacks):
    model = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            vocab_size=6, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
            num_key_value_heads=1, max_position_embeddings=16, pad_token_id=0, bos_token_id=1, eos_token_id=1,
        )
    )
    arguments = trl.SFTConfig(
        sys.argv[1], per_device_train_batch_size=2, num_train_epochs=1, logging_steps=1, save_strategy="no",
        include_num_input_tokens_seen=True, disable_tqdm=True, report_to=[], use_cpu=True,
    )
    trainer = trl.SFTTrainer(model, arguments, train_dataset=data, processing_class=tokenizer, callbacks=callbacks)
    with contextlib.redirect_stdout(io.StringIO()):
        trainer.train(resume_from_checkpoint=resume)
    lines = [line for line in trainer.state.log_history if "num_tokens" in line]
    return [(line["step"], int(line["num_tokens"]), int(line["num_input_tokens_seen"])) for line in lines]


first = train(False, [Interrupt()])
resumed = train(True, [])
print(f"trl {trl.__version__}, transformers {transformers.__version__}: step, num_tokens, num_input_tokens_seen")
print(f"interrupted at step 3: {first}")
print(f"after the resume: {resumed}")
assert (trl.__version__, transformers.__version__) == ("1.16.0", "5.24.0")
assert first == [(1, 18, 18), (2, 36, 36), (3, 54, 54)]
assert resumed == [*first, (4, 18, 72), (5, 36, 90), (6, 54, 108)]
PYTHON
"$folder/env/bin/python" -W ignore "$folder/finding.py" "$folder/run"
