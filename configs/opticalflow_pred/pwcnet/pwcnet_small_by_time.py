"""pwcnet_small_generated.py within a given time, and without a data set on the disk.

    python3 tools/train.py --stage float --config configs/opticalflow_pred/pwcnet/pwcnet_small_by_time.py --opts float_trainer.num_minutes 60

The network of the one file, the data and the schedule of the other.
"""

_base_ = ["pwcnet_small_generated.py", "pwcnet_lite_by_time.py"]

task_name = "pwcnet_small_by_time"
