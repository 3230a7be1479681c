//! Which files make a mail, what they print, and what is said about those that cannot.

use super::scenes::{catalogue, html, load, render, sources, Folder};
use crate::mail::{Catalogue, Named, TemplateError};

#[test]
fn each_file_is_looked_up_by_its_language() {
    let catalogue = catalogue(&[
        ("a.subject.txt", "none"),
        ("a.uk.subject.txt", "uk"),
        ("a.uk-UA.html", "uk-UA"),
        ("a.en.html", "en"),
        ("a.html", "none"),
        ("a.de.txt", "de"),
    ]);
    for (metadata, subject, html, text) in [
        (r#"{"language": "uk-UA"}"#, "uk", "uk-UA", None),
        (r#"{"language": "UK_ua"}"#, "uk", "uk-UA", None),
        (r#"{"language": "uk"}"#, "uk", "en", None),
        (r#"{"language": "uk-UA-x"}"#, "uk", "uk-UA", None),
        (r#"{"language": "de-AT"}"#, "none", "en", Some("de")),
        (r#"{"language": "fr"}"#, "none", "en", None),
        (r#"{"language": ["uk"]}"#, "none", "en", None),
        ("{}", "none", "en", None),
    ] {
        let mail = render(&catalogue, "a", metadata).unwrap();
        assert_eq!(
            (&*mail.subject, mail.html.as_deref(), mail.text.as_deref()),
            (subject, Some(html), text),
            "{metadata}"
        );
    }
}

#[test]
fn a_folder_may_replace_the_subject_alone() {
    let catalogue = catalogue(&[("welcome.subject.txt", "  Hi {{ username }}\n\n")]);
    let mail = render(&catalogue, "welcome", "{}").unwrap();
    assert_eq!(mail.subject, "Hi Zoë <Z> & \"Co\"");
    assert!(mail.html.unwrap().contains("Your account is ready"));
    assert!(mail.text.unwrap().contains("your account is ready"));
}

#[test]
fn no_text_of_the_wheel_stands_beside_other_html() {
    let catalogue = catalogue(&[("welcome.html", "mine"), ("password_reset.uk.html", "mine")]);
    let mail = render(&catalogue, "welcome", "{}").unwrap();
    assert_eq!((mail.html.as_deref(), mail.text), (Some("mine"), None));
    let mail = render(&catalogue, "password_reset", "{}").unwrap();
    assert!(mail.text.unwrap().contains("a new password"));
}

#[test]
fn the_templates_of_the_wheel_render() {
    let catalogue = catalogue(&[]);
    assert_eq!(catalogue.check(), []);
    for email_type in ["verification", "password_reset", "welcome", "notification"] {
        assert!(catalogue.has(email_type));
        let mail = render(&catalogue, email_type, "{}").unwrap();
        let link = "https://example.org/a?b=1&c='2'";
        assert!(mail.text.unwrap().contains(link), "{email_type}");
        let html = mail.html.unwrap();
        assert!(html.contains("href=\"https://example.org/a?b=1&amp;c=&#39;2&#39;\""), "{email_type}");
        assert!(html.starts_with("<!DOCTYPE html>") && html.contains("Zoë &lt;Z&gt; &amp; &#34;Co&#34;,"), "{html}");
    }
    assert!(!catalogue.has("invoice"));
    let error = render(&catalogue, "invoice", "{}").err().unwrap();
    assert_eq!(error.to_string(), "no template for this type of mail");
}

#[test]
fn files_may_have_names_of_their_own() {
    let folder = Folder::new(&[
        ("base_email.html", "<body>{% block body %}{% endblock %}{% include 'parts/footer.html' %}</body>\n"),
        ("parts/footer.html", "{% import 'macros.html' as m %}{{ m.bold(year) }}"),
        ("macros.html", "{% macro bold(x) %}<b>{{ x }}</b>{% endmacro %}"),
        ("verify.html", "{% extends \"base_email.html\" %}{% block body %}{{ verification_link }}{% endblock %}"),
        ("page.html", "{% trans %}a page of the web site{% endtrans %}"),
        ("logo.png", "\u{0}"),
    ]);
    let named = |html: &str| Named {
        email_type: "verification".to_owned(),
        html: Some(html.to_owned()),
        text: None,
        subject: "For {{ username }}".to_owned(),
    };
    let named_sources = |html| crate::mail::Sources { named: vec![named(html)], ..sources(&folder) };
    let catalogue = Catalogue::load(&named_sources("verify.html")).unwrap_or_else(|mistakes| panic!("{mistakes:?}"));
    let mail = render(&catalogue, "verification", "{}").unwrap();
    assert_eq!(mail.subject, "For Zoë <Z> & \"Co\"");
    assert_eq!(mail.html.as_deref(), Some("<body>https://example.org/a?b=1&amp;c=&#39;2&#39;<b>2026</b></body>"));
    assert_eq!(mail.text, None);
    assert_eq!(catalogue.check(), []);

    let mistakes = Catalogue::load(&named_sources("verfiy.html")).err().unwrap();
    assert_eq!(mistakes.iter().map(|mistake| mistake.file.as_str()).collect::<Vec<_>>(), ["verfiy.html"]);
}

#[test]
fn fields_win_over_metadata() {
    let metadata = r#"{"username": "no", "link": "no", "year": "no", "code": 7, "metadata": {"code": 8}}"#;
    let printed =
        html("{{ username }}|{{ reset_link }}|{{ year }}|{{ datetime }}|{{ code }}|{{ metadata.code }}", metadata);
    assert_eq!(
        printed.as_deref(),
        Ok("Zoë &lt;Z&gt; &amp; &#34;Co&#34;|https://example.org/a?b=1&amp;c=&#39;2&#39;|2026|2026-11-23 16:38:13|7|7")
    );
}

#[test]
fn values_are_printed_as_python_prints_them() {
    let metadata = r#"{"v": {"b": [true, null, 1.0, 1e16, "<a>"], "a": 123456789012345678901234567890}}"#;
    assert_eq!(
        html("{{ v }}|{{ v.b[0] }}|{{ v.b[1] }}|{{ v.b[3] }}|{{ 4 / 2 }}\r\n\r\n", metadata).as_deref(),
        Ok("{&#39;b&#39;: [True, None, 1.0, 1e+16, &#39;&lt;a&gt;&#39;], &#39;a&#39;: \
            123456789012345678901234567890}|True|None|1e+16|2.0\n")
    );
    assert_eq!(
        html("{% for k, v in v.items() %}{{ k.upper() }}{{ loop.index }}{% endfor %}", metadata).as_deref(),
        Ok("B1A2")
    );
}

#[test]
fn a_missing_value_is_an_error_only_where_it_is_printed() {
    assert_eq!(html("{% if code %}{{ code }}{% else %}none{% endif %}", "{}").as_deref(), Ok("none"));
    assert_eq!(html("{{ code|default('x') }}", "{}").as_deref(), Ok("x"));
    for template in [
        "{{ order.code }}",
        "{{ order.code|e }}",
        "{{ order.code|upper }}",
        "{{ order.code|tojson }}",
        "{{ order.code.x() }}",
    ] {
        let error = html(&format!("\n{template}"), r#"{"order": {"secret": "hunter2"}}"#).err().unwrap();
        let expected = TemplateError {
            kind: "undefined value".to_owned(),
            file: "a.html".to_owned(),
            line: Some(2),
            name: Some("order.code".to_owned()),
        };
        assert_eq!(error, expected, "{template}");
    }
}

#[test]
fn errors_hold_no_values() {
    let metadata = r#"{"secret": "hunter2", "list": ["hunter2"]}"#;
    for template in [
        "{{ secret + 1 }}",
        "{{ secret.hunter() }}",
        "{{ secret|round }}",
        "{{ list|map(secret) }}",
        "{% include secret %}",
        "{% extends secret %}",
        "{{ metadata[secret] }}",
        "{{ metadata[secret ~ secret].x }}",
        "{{ list[0][secret] }}",
        "{{ secret is divisibleby(secret) }}{{ list|join(1, 2, 3, 4) }}",
        "{% for a, b in list %}{% endfor %}",
        "{{ secret|tojson(indent=secret) }}",
        "{{ '{x}'.format(secret) }}",
        "{% set ns = secret %}{% set ns.x = 1 %}",
    ] {
        let error = html(template, metadata).err().unwrap();
        let printed = format!("{error} {error:?}");
        assert!(!printed.contains("hunter2"), "{printed}");
        assert_eq!((error.file.as_str(), error.line), ("a.html", Some(1)), "{template}");
    }
}

#[test]
fn unsupported_uses_are_reported_with_their_lines() {
    let catalogue = catalogue(&[
        ("a.subject.txt", "{{ _('Hello') }}"),
        (
            "a.html",
            "{# {{ _('x') }} #}{% raw %}{{ _('x') }}{% endraw %}\n{{ url_for('static', path='x') }}\n\
             {{ {'a': {}}|tojson }} {{ username|urlize }}\n{% if x %}{{ '%s' % x }}{% endif %}\n\
             {% include 'b.html' %}{{ x.url_for() }}{{ 5 % 2 }}",
        ),
        ("b.html", "\n{% if false %}{{ username|wordwrap(20) }}{{ ngettext('a', 'b', 2) }}{% endif %}"),
        ("page.html", "{{ url_for('x') }}"),
    ]);
    let found: Vec<_> = catalogue.check().iter().map(ToString::to_string).collect();
    let remedy = "is not supported: remove it, or render this mail in a handler with Jinja2";
    let expected = [
        ("a.html:2", "`url_for()`"),
        ("a.html:3", "the filter `urlize`"),
        ("a.html:4", "`'…' % …`"),
        ("a.subject.txt:1", "`_()`"),
        ("b.html:2", "`ngettext()`"),
        ("b.html:2", "the filter `wordwrap`"),
    ];
    assert_eq!(found, expected.map(|(place, what)| format!("{place}: {what} {remedy}")));
}

#[test]
fn what_cannot_be_compiled_is_a_mistake_at_the_start() {
    let files = [
        ("a.subject.txt", "{{ x"),
        ("a.html", "{% include 'b.html' %}"),
        ("b.html", "\n{% trans %}x{% endtrans %}"),
        ("c.subject.txt", "no body"),
        ("d.subject.txt", "d"),
        ("d.txt", "\n\n{% for %}"),
    ];
    let places: Vec<_> =
        load(&files).err().unwrap().iter().map(|mistake| (mistake.file.clone(), mistake.line)).collect();
    let expected = [("a.subject.txt", Some(1)), ("b.html", Some(2)), ("c.subject.txt", None), ("d.txt", Some(3))];
    assert_eq!(places, expected.map(|(file, line)| (file.to_owned(), line)));
}

#[test]
fn what_always_fails_is_found_and_what_needs_metadata_is_not() {
    let catalogue = catalogue(&[
        (
            "a.subject.txt",
            "{{ order.number * 2 }} {{ count + 1 }} {{ -count }} {{ items|length }} {{ total|round(2) }}",
        ),
        ("a.html", "{% for item in items %}{{ item.price / 2 }}{% endfor %}{{ price.upper() }}{% include 'p.html' %}"),
        ("p.html", "{{ total }}{% for key, value in table.items() %}{% endfor %}"),
        ("b.subject.txt", "{{ username + 1 }}"),
        ("b.txt", "b"),
        ("c.subject.txt", "{{ missing }}"),
        ("c.de.html", "{{ missing }}\n{% include 'nowhere.html' %}"),
        ("c.html", "{{ username is such }}"),
    ]);
    let places: Vec<_> = catalogue.check().iter().map(|mistake| (mistake.file.clone(), mistake.line)).collect();
    let expected = [("b.subject.txt", Some(1)), ("c.de.html", Some(2)), ("c.html", Some(1))];
    assert_eq!(places, expected.map(|(file, line)| (file.to_owned(), line)));
}

#[test]
fn a_folder_that_is_not_there_is_a_mistake() {
    let folder = Folder::new(&[]);
    let mut sources = sources(&folder);
    sources.folder = Some(folder.path().join("nowhere"));
    assert_eq!(Catalogue::load(&sources).err().unwrap().len(), 1);
}
