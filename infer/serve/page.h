/* The web page: page.html, which travels inside the program. */
#ifndef CAMBIUM_INFER_SERVE_PAGE_H
#define CAMBIUM_INFER_SERVE_PAGE_H

extern const char serve_page[];

#endif
