void model_step(model_state *state, const float x[MODEL_INPUTS], float y[MODEL_OUTPUTS]) {
    memcpy(y, model_run(&state->memory, x), MODEL_OUTPUTS * sizeof *y);
}
