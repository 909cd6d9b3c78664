"""Problems for what Django answers itself, for a project to name as its `handler400` and so on.

Whoever asks for a page (a browser in the admin) gets Django's page; everybody else gets a problem.
"""

from django.http import HttpRequest, HttpResponse
from django.urls import Resolver404, resolve
from django.views import defaults

from .problems import BAD_REQUEST, FORBIDDEN, NOT_FOUND, SERVER_ERROR, answer


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """`handler400`"""
    if _wants_page(request):
        return defaults.bad_request(request, exception)
    return answer(BAD_REQUEST, request)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """`handler403`"""
    if _wants_page(request):
        return defaults.permission_denied(request, exception)
    return answer(FORBIDDEN, request)


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    """`handler404`"""
    if _wants_page(request):
        return defaults.page_not_found(request, exception)
    return answer(NOT_FOUND, request)


def server_error(request: HttpRequest) -> HttpResponse:
    """`handler500`"""
    if _wants_page(request):
        return defaults.server_error(request)
    return answer(SERVER_ERROR, request)


def _wants_page(request: HttpRequest) -> bool:
    return "text/html" in request.headers.get("Accept", "") and not _is_ours(request.path_info)


def _is_ours(path: str) -> bool:
    try:
        return "notifications" in resolve(path).app_names
    except Resolver404:
        return False
