/* Scales the inputs of a step as in training. A missing value is replaced by the last value, at first by the mean.
   A second channel of some inputs is 1 if the value is missing, else 0. */
static void model_scale(model_state *state, const float *x, float *scaled) {
    float missing[MODEL_INPUTS];
    int i;
    for (i = 0; i < MODEL_INPUTS; i++) {
        const double value = ((double)x[i] - model_means[i]) / model_deviations[i];
        missing[i] = fabs(value) <= MODEL_FARTHEST ? 0.0f : 1.0f; /* 1 for NAN */
        if (missing[i] == 0.0f) state->last[i] = (float)value;
        scaled[i] = state->last[i];
    }
    for (i = 0; i < MODEL_MASKED; i++) scaled[MODEL_INPUTS + i] = missing[model_masked[i]];
}
