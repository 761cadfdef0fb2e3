"""The sentences of plan terms in Spanish."""

from __future__ import annotations

SPANISH: dict[str, str] = {
    "periods": "Períodos de facturación",
    "period lasts": "Duración de un período de facturación: {interval}.",
    "period starts": "Empieza a medianoche en la zona horaria de su suscripción, el día del mes (o de la "
    "semana) en que empezó su servicio de pago o, si hemos acordado períodos naturales, el primer día del "
    "mes, del trimestre o del año (un lunes, si son semanas).",
    "period short month": "En un mes que no tiene ese día empieza el último día del mes.",
    "period half open": "Termina justo antes de que empiece el siguiente: lo que ocurre en ese instante "
    "pertenece al siguiente.",
    "trial": "Sus primeros {days} días son una prueba: no se cobra ninguna cuota, y su uso se le muestra "
    "sin cobrarse. El primer período de facturación empieza después.",
    "counted count": "Contamos cada evento del tipo «{type}» que se refiere a usted.",
    "counted sum": "Sumamos «{property}» de todos los eventos del tipo «{type}» que se refieren a usted.",
    "counted unique_count": "Contamos los valores distintos de «{property}» en los eventos del tipo "
    "«{type}» que se refieren a usted: un valor que aparece dos veces en un período cuenta una vez.",
    "counted max level": "Tomamos el valor «{property}» más alto que comunican en el período los eventos "
    "del tipo «{type}» que se refieren a usted.",
    "counted max change": "Cada evento del tipo «{type}» que se refiere a usted suma su «{property}» a un "
    "nivel; tomamos el más alto que el nivel alcanza en el período.",
    "counted latest level": "Tomamos el último valor «{property}» que comunican en el período los eventos "
    "del tipo «{type}» que se refieren a usted.",
    "counted latest change": "Cada evento del tipo «{type}» que se refiere a usted suma su «{property}» a "
    "un nivel; tomamos el nivel al final del período.",
    "counted time_weighted level period": "Los eventos del tipo «{type}» que se refieren a usted fijan un "
    "nivel («{property}»). Multiplicamos cada nivel por el tiempo que se mantiene y dividimos por la "
    "duración del período: medio período con 10 cuenta 5 {units}.",
    "counted time_weighted change period": "Los eventos del tipo «{type}» que se refieren a usted cambian "
    "un nivel (en «{property}»). Multiplicamos cada nivel por el tiempo que se mantiene y dividimos por la "
    "duración del período: medio período con 10 cuenta 5 {units}.",
    "counted time_weighted level hour": "Los eventos del tipo «{type}» que se refieren a usted fijan un "
    "nivel («{property}»). Multiplicamos cada nivel por las horas que se mantiene: 10 durante dos horas "
    "cuentan 20 {units}.",
    "counted time_weighted change hour": "Los eventos del tipo «{type}» que se refieren a usted cambian un "
    "nivel (en «{property}»). Multiplicamos cada nivel por las horas que se mantiene: 10 durante dos horas "
    "cuentan 20 {units}.",
    "only where": "Solo cuenta el uso en que {conditions}.",
    "not taken": "El uso que se cobra en {names} no se cobra aquí otra vez.",
    "quoted": "«{name}»",
    "first fits": "Si varios de estos precios corresponden a una unidad, el primero de ellos es el suyo.",
    "included in order": "Lo incluido cubre unidades en el orden de estos precios.",
    "filter eq": "«{name}» es {values}",
    "filter in": "«{name}» es uno de estos valores: {values}",
    "filter not_in": "«{name}» no es ninguno de estos valores, o falta: {values}",
    "filter exists": "«{name}» está indicado",
    "filter gt": "«{name}» es mayor que {values}",
    "filter lt": "«{name}» es menor que {values}",
    "and": " y ",
    "series": "Esto se hace para cada {names} por separado, y los resultados se suman.",
    "carry over": "Un período empieza con el nivel en que terminó el anterior.",
    "divided": "El resultado se divide por {divisor} y da {units}.",
    "rounded": "La cantidad de todo el período se redondea una vez, {how}, {to}, antes de restar lo "
    "incluido.",
    "round half_up": "al más próximo (las mitades, hacia arriba)",
    "round up": "hacia arriba",
    "round down": "hacia abajo",
    "to whole": "a un número entero",
    "to decimals": "a {count} decimales",
    "costs": "Precio, en {currency} {tax}: {rule}",
    "quantity": "La cantidad es la acordada para su suscripción, 1 si no hay ninguna. Si aumenta, se cobra "
    "desde el día en que aumenta, por el resto del período; si disminuye, desde el período siguiente.",
    "in advance": "Se cobra por adelantado, al principio (ritmo: {interval}).",
    "in arrears": "Se cobra a período vencido (ritmo: {interval}).",
    "policy bill": "El uso más allá de lo incluido se cobra como se ha dicho; no se desconecta nada.",
    "policy notify": "El uso más allá de lo incluido se cobra como se ha dicho, y se le avisa cuando ha "
    "usado el 80 % y el 100 %.",
    "policy block": "Cuando se agota lo incluido, nuestro servicio puede rechazar más uso. Lo que se haya "
    "usado de todos modos se cobra como se ha dicho.",
    "parts": "Partes de un período",
    "part days": "Si su servicio empieza o termina dentro de un período, solo cuentan sus días: días "
    "enteros, como fracción de todos los días del período. El día en que cancela es el último.",
    "part fee": "Las cuotas se multiplican por esa fracción.",
    "part usage": "En los precios por uso, la cantidad incluida, los límites y las cuotas de los tramos, el "
    "mínimo y el máximo se multiplican por esa fracción (las cantidades, redondeadas hacia arriba); el "
    "precio de una unidad no cambia.",
    "part quantity": "Una cantidad que aumenta dentro de un período se cobra desde su día.",
    "part change": "Si cambia de plan dentro de un período, cada plan se cobra por sus propios días; el día "
    "del cambio pertenece al nuevo. Lo que pagó por adelantado por días posteriores del anterior se le "
    "abona. Si los períodos del nuevo plan duran más o menos, su período en curso termina con el cambio, y "
    "empieza el siguiente.",
    "part change none": "Puede cambiar de plan al final de un período.",
    "part refund": "Si cancela con efecto inmediato, lo que pagó por adelantado por los días posteriores al "
    "último se le abona, en su próxima factura o con una factura rectificativa.",
    "part no refund": "Si cancela con efecto inmediato, lo que pagó por adelantado no se devuelve. Si cancela "
    "al final de un período, recibe el servicio hasta entonces.",
    "part change back": "Si un cambio vale desde un día ya facturado, su próxima factura cobra o abona la "
    "diferencia y nombra el período y la factura.",
    "cancelled": "Puede cancelar con efecto inmediato o al final de lo pagado, y retractarse hasta que "
    "termine su servicio. Su última factura cobra lo que usó hasta entonces.",
    "paused": "Mientras su suscripción está en pausa no se cobra ninguna cuota ni se factura el uso. Lo que "
    "pagó por adelantado por esos días se le abona, en su próxima factura o con una factura rectificativa.",
    "resumed": "Cuando continúa, la cuota por los días que quedan del período se cobra a su fin. Los períodos "
    "empiezan los mismos días que antes.",
    "part none": "«{name}» no se reduce por una parte de un período.",
    "usage": "Cómo se cuenta el uso",
    "no usage": "Nada en este plan depende del uso.",
    "at its time": "El uso cuenta en el momento en que ocurrió, no en el que nos enteramos de él.",
    "once": "Cada evento tiene su propio identificador y cuenta una vez, por muchas veces que se envíe.",
    "cutoff": "Una factura se prepara cuando ha terminado su período, normalmente una hora después, y "
    "contiene todo el uso que nos ha llegado hasta entonces.",
    "late": "El uso que nos llega más tarde, antes de emitirse la factura, se añade a ella. Una factura "
    "emitida no se cambia nunca: lo que nos llega después figura en una factura posterior, como diferencia "
    "con lo que habría pagado si hubiera llegado a tiempo.",
    "failed": "Un evento que no podemos asignar o leer se aparta y no se cobra. Una vez corregido, cuenta en "
    "el momento en que ocurrió.",
    "corrected": "Un evento equivocado se anula o se corrige; el original se conserva. Cuenta entonces como "
    "se corrigió, o no cuenta.",
    "shown": "Ve su uso día a día antes de que se emita una factura.",
    "invoice": "Su factura",
    "commitment": "Todo lo que se cobra por un período suma al menos {amount} {tax}; lo que falta se cobra "
    "como «Compromiso mínimo». Lo que compra una sola vez, aparte de este plan, no cuenta para ello. En una "
    "parte de un período se multiplica por la misma fracción.",
    "commitment of several": "Todo lo que se cobra por este tiempo de su plan ({interval}) suma al menos "
    "{amount} {tax}; cuando ha terminado, lo que falta se cobra como «Compromiso mínimo». Lo que compra una "
    "sola vez, aparte de este plan, no cuenta para ello. Si su servicio abarca solo una parte, se multiplica "
    "por esa parte, contada en días enteros.",
    "line rounding": "Cada línea se redondea una vez, las mitades hacia arriba, a la moneda más pequeña de su "
    "divisa; los pasos anteriores son exactos. Cada línea muestra cómo se llega a ella.",
    "before tax": "sin impuestos",
    "with tax": "con impuestos",
    "tax included": "Los precios incluyen el impuesto: los paga tal como son, sea cual sea el tipo. El "
    "impuesto que contienen se calcula una vez por tipo, sobre la suma de sus líneas; si no debemos "
    "ninguno, como con inversión del sujeto pasivo, los precios no cambian. Solo cambia a planes cuyos "
    "precios también incluyen el impuesto.",
    "tax": "Los precios son sin impuestos. El impuesto se calcula una vez por tipo, sobre la suma de sus "
    "líneas.",
    "frozen": "Estas condiciones no cambian nunca. Su suscripción las mantiene hasta que usted y nosotros "
    "acordemos otras.",
    "new version": "Una nueva versión de este plan no cambia la suya por sí sola.",
    "questions": "Preguntas y reclamaciones",
    "dispute": "Si cree que una línea es incorrecta, escríbanos antes del vencimiento de la factura.",
    "dispute to": "Si cree que una línea es incorrecta, escriba a {contact} antes del vencimiento de la "
    "factura.",
    "dispute how": "Nombre la factura y la línea. El resto lo paga como siempre; la línea se explica o se "
    "corrige.",
    "example": "Ejemplo: {used}",
    "payments": "{count} pagos de 100 cada uno",
    "each combination": "{count} {units} de cada clase",
    "one period": "un período entero",
    "unit": "unidad",
    "units": "unidades",
    "day": "un día",
    "week": "una semana",
    "month": "un mes",
    "quarter": "un trimestre",
    "year": "un año",
    "days": "días",
    "weeks": "semanas",
    "months": "meses",
    "quarters": "trimestres",
    "years": "años",
    "one": "{interval}",
    "several": "{count} {interval}",
}
