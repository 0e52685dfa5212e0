"""How any env becomes lanes: batched tasks of ours, Gymnasium's vector envs, EnvPool."""
