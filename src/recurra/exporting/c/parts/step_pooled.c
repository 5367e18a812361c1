void model_step(model_state *state, const float x[MODEL_INPUTS], float y[MODEL_OUTPUTS]) {
    float scaled[MODEL_WIDTH], pooled[MODEL_UNITS];
    model_scale(state, x, scaled);
    model_pool(state, model_run(&state->memory, scaled), pooled);
    model_answer(pooled, y);
}
