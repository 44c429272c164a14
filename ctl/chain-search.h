/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef VDCTL_CHAIN_SEARCH_H
#define VDCTL_CHAIN_SEARCH_H

/* Prints the chains of images beneath @dir, or only that of @image. */
int chain_search(const char *dir, const char *image);

#endif /* VDCTL_CHAIN_SEARCH_H */
