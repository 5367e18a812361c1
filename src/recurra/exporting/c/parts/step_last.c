void model_step(model_state *state, const float x[MODEL_INPUTS], float y[MODEL_OUTPUTS]) {
    float scaled[MODEL_WIDTH];
    model_scale(state, x, scaled);
    model_answer(model_run(&state->memory, scaled), y);
}
