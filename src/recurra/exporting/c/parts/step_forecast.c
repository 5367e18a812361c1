static int model_is_known(float value) {
    return value == value; /* false for NAN */
}

/* Scales the inputs of a step as in training, and moves the window by one step; NAN is a missing value. */
static void model_read(model_state *state, const float *x) {
    int i;
    for (i = 0; i < MODEL_INPUTS; i++) {
        const float oldest = state->window[i];
        if (model_is_known(oldest)) state->before[i] = oldest;
    }
    memmove(state->window, state->window + MODEL_INPUTS, (MODEL_CONTEXT - 1) * MODEL_INPUTS * sizeof(float));
    for (i = 0; i < MODEL_INPUTS; i++) {
        const double value = ((double)x[i] - model_means[i]) / model_deviations[i];
        const float scaled = fabs(value) <= MODEL_FARTHEST ? (float)value : NAN;
        state->window[(MODEL_CONTEXT - 1) * MODEL_INPUTS + i] = scaled;
    }
}

/* Returns the value of input i before the window; if there is none, the first one in the window, or 0. */
static float model_first(const model_state *state, int i) {
    int t;
    if (model_is_known(state->before[i])) return state->before[i];
    for (t = 0; t < MODEL_CONTEXT; t++) {
        const float value = state->window[t * MODEL_INPUTS + i];
        if (model_is_known(value)) return value;
    }
    return 0.0f;
}

/* Copies target k; a missing value is replaced by the one before it. */
static void model_fill(const model_state *state, int k, float *values) {
    float latest = model_first(state, k);
    int t;
    for (t = 0; t < MODEL_CONTEXT; t++) {
        const float value = state->window[t * MODEL_INPUTS + k];
        if (model_is_known(value)) latest = value;
        values[t] = latest;
    }
}

/* Returns the standard deviation of the values, and 0.1 more. */
static float model_spread_of(const float *values) {
    double mean = 0.0, sum = 0.0;
    int t;
    for (t = 0; t < MODEL_CONTEXT; t++) mean += (double)values[t];
    mean /= (double)MODEL_CONTEXT;
    for (t = 0; t < MODEL_CONTEXT; t++) sum += ((double)values[t] - mean) * ((double)values[t] - mean);
    return (float)sqrt(sum / (double)MODEL_CONTEXT) + 0.1f;
}

/* Runs the layers over the segments of the context of target k. */
static void model_remember(const model_state *state, int k, const float *values, float size, model_memory *memory) {
    float segment[MODEL_READ], vector[MODEL_UNITS];
//if beside
    float side[MODEL_SEGMENT * MODEL_SIDE], latest[MODEL_FEATURES];
//end
    int i, t;
//if complete
    (void)k;
//end
//if alone
    (void)state;
//end
    memset(memory, 0, sizeof *memory);
//if beside
    for (i = 0; i < MODEL_FEATURES; i++) latest[i] = model_first(state, MODEL_TARGETS + i);
//end
    for (t = -MODEL_FILLING; t < MODEL_CONTEXT; t++) {
        const int place = (t + MODEL_FILLING) % MODEL_SEGMENT, step = t < 0 ? 0 : t;
        segment[place] = (values[step] - values[MODEL_CONTEXT - 1]) / size;
//if masked
        segment[MODEL_SEGMENT + place] = model_is_known(state->window[step * MODEL_INPUTS + k]) ? 1.0f : 0.0f;
//end
//if beside
        for (i = 0; i < MODEL_FEATURES; i++) {
            const float value = state->window[step * MODEL_INPUTS + MODEL_TARGETS + i];
            if (model_is_known(value)) latest[i] = value;
            side[place * MODEL_SIDE + i] = latest[i];
//if masked
            side[place * MODEL_SIDE + MODEL_FEATURES + i] = model_is_known(value) ? 1.0f : 0.0f;
//end
        }
//end
        if (place < MODEL_SEGMENT - 1) continue;
        for (i = 0; i < MODEL_UNITS; i++) {
            float sum = model_product(&model_reading, i, segment) + model_reading_bias[i];
//if beside
            sum += model_product(&model_beside, i, side);
//end
            vector[i] = sum > 0.0f ? sum : 0.0f;
        }
        model_run(memory, vector);
    }
}

//if quantiles
/* Sorts the quantiles of a step. Those below the median are at most the point forecast, those above at least. */
static void model_sort(float *found) {
    int i, j;
    for (i = 2; i < MODEL_VALUES; i++) {
        const float value = found[i];
        for (j = i; j > 1 && found[j - 1] > value; j--) found[j] = found[j - 1];
        found[j] = value;
    }
    for (i = 1; i < MODEL_VALUES; i++) {
        if (model_sides[i - 1] < 0 && found[i] > found[0]) found[i] = found[0];
        if (model_sides[i - 1] > 0 && found[i] < found[0]) found[i] = found[0];
    }
}

//end
/* Forecasts target k. */
static void model_forecast(const model_state *state, int k, float *y) {
    float values[MODEL_CONTEXT], query[MODEL_UNITS], found[MODEL_VALUES];
//if calendar
    float ahead[MODEL_WRITTEN * 2 * MODEL_CYCLES];
//end
    model_memory past, memory;
    float last, size;
    int segment, i, j;
    model_fill(state, k, values);
    last = values[MODEL_CONTEXT - 1];
    size = model_spread_of(values);
    model_remember(state, k, values, size, &past);
//if base
    for (i = 0; i < MODEL_CONTEXT; i++) values[i] -= last; /* the baselines map differences from the last value */
//end
    for (segment = 0; segment < MODEL_COMING; segment++) {
        const float *output;
//if calendar
        for (i = 0; i < MODEL_WRITTEN; i++) {
            const int step = segment * MODEL_WRITTEN + i;
            const int64_t later = step < MODEL_HORIZON ? step : MODEL_HORIZON - 1;
            model_calendar(state->time + later * MODEL_INTERVAL, ahead + i * 2 * MODEL_CYCLES);
        }
//end
        for (i = 0; i < MODEL_UNITS; i++) {
            query[i] = i < MODEL_POSITION ? model_positions[segment * MODEL_POSITION + i]
                                          : model_places[k * (MODEL_UNITS - MODEL_POSITION) + i - MODEL_POSITION];
//if calendar
            query[i] += model_product(&model_ahead, i, ahead);
//end
        }
        memory = past;
        output = model_run(&memory, query);
        for (i = 0; i < MODEL_WRITTEN && segment * MODEL_WRITTEN + i < MODEL_HORIZON; i++) {
            const int place = (segment * MODEL_WRITTEN + i) * MODEL_TARGETS + k;
            found[0] = (model_product(&model_writing, i, output) + model_writing_bias[i]) * size + last;
//if base
            j = segment * MODEL_WRITTEN + i;
            found[0] += model_product(&model_base, j, values) + model_base_bias[j];
//end
//if quantiles
            for (j = 1; j < MODEL_VALUES; j++) {
                const int row = (j - 1) * MODEL_WRITTEN + i;
                found[j] = (model_product(&model_quantiles, row, output) + model_quantiles_bias[row]) * size + found[0];
                found[j] += model_shifts[place * (MODEL_VALUES - 1) + j - 1];
            }
            model_sort(found);
//end
            for (j = 0; j < MODEL_VALUES; j++) {
                y[place * MODEL_VALUES + j] = (float)((double)found[j] * model_deviations[k] + model_means[k]);
            }
        }
    }
}

//if calendar
void model_start(model_state *state, int64_t time) {
//end
//if timeless
void model_start(model_state *state) {
//end
    int i;
    for (i = 0; i < MODEL_CONTEXT * MODEL_INPUTS; i++) state->window[i] = NAN;
    for (i = 0; i < MODEL_INPUTS; i++) state->before[i] = NAN;
//if calendar
    state->time = time;
//end
}

void model_step(model_state *state, const float x[MODEL_INPUTS], float y[MODEL_OUTPUTS]) {
    int k;
    model_read(state, x);
//if calendar
    state->time += MODEL_INTERVAL;
//end
    for (k = 0; k < MODEL_TARGETS; k++) model_forecast(state, k, y);
}
