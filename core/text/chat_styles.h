/* Chat templates that this program brings: the forms of well-known families, for models that have
 * no template, or none that can be run. Without tools. */
#ifndef CAMBIUM_CORE_TEXT_CHAT_STYLES_H
#define CAMBIUM_CORE_TEXT_CHAT_STYLES_H

const char *chat_style_source(const char *name); /* its Jinja program, or NULL */
const char *chat_style_names(void);              /* "chatml, llama2, ..." */

#endif
