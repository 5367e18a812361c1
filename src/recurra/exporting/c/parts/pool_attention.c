/* Adds the output of a step to the mean of all steps, weighted by the softmax of their scores. */
static void model_pool(model_state *state, const float *output, float *pooled) {
    const double score = (double)(model_product(&model_attention, 0, output) + model_attention_bias[0]);
    double weight;
    int i;
    if (state->total == 0.0) state->top = score; /* the first step */
    if (score > state->top) {
        const double factor = exp(state->top - score);
        for (i = 0; i < MODEL_UNITS; i++) state->sum[i] *= factor;
        state->total *= factor;
        state->top = score;
    }
    weight = exp(score - state->top);
    state->total += weight;
    for (i = 0; i < MODEL_UNITS; i++) {
        state->sum[i] += weight * (double)output[i];
        pooled[i] = (float)(state->sum[i] / state->total);
    }
}
