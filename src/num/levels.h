/* levels.h - what the codes 0 to 15 of bitsandbytes' 4-bit types stand for. */
#ifndef NX_NUM_LEVELS_H
#define NX_NUM_LEVELS_H

extern const float nx_nf4_levels[16];
extern const float nx_fp4_levels[16];

#endif
