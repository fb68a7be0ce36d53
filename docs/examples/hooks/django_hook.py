"""An endpoint for notifications of banks with Django: POST /hooks/<name of the bank>.

In a project: the view and its path. Here it is a whole one, served at 127.0.0.1:$PORT, with PGDATABASE and the like from the environment.
Not with ATOMIC_REQUESTS: its COMMIT comes after the view, so an answer would be made before anything is kept.
"""
import json
import os
from wsgiref.simple_server import make_server
from django.conf import settings

settings.configure(ROOT_URLCONF=__name__, SECRET_KEY=os.urandom(32).hex(), ALLOWED_HOSTS=['127.0.0.1'], DATABASES={'default': {
    'ENGINE': 'django.db.backends.postgresql', 'NAME': os.environ.get('PGDATABASE', 'postgres')}}, USE_TZ=True)

from django.core.wsgi import get_wsgi_application
from django.db import Error, connection, transaction
from django.http import HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

TOO_LARGE = 256 * 1024 + 1      # more is not read: pgw refuses this much


@csrf_exempt
@require_POST
def hook(request, bank):
    body = request.read(TOO_LARGE)      # as it came; a view that has read request.POST has it no more
    try:
        with transaction.atomic(durable=True), connection.cursor() as cursor:
            cursor.execute('SELECT http_status FROM pgw.receive_notification(%s, %s, %s, url => %s)',
                           (bank, json.dumps(dict(request.headers)), body, request.build_absolute_uri()))
            status, = cursor.fetchone()
    except Error:
        return HttpResponse(status=500)     # nothing was taken: it is sent again
    return HttpResponse(status=status)      # committed


urlpatterns = [path('hooks/<bank>', hook)]

if __name__ == '__main__':
    make_server('127.0.0.1', int(os.environ['PORT']), get_wsgi_application()).serve_forever()
