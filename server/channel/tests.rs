//! The rules in their order: rows CH, NS, SUB, PUB, PRE, HIS and SSS of the compatibility list.

use super::permission::{self, Asker, Flags, PublishPath, SubscribePath};
use super::{
    Answer, Asked, ChannelOptions, Limits, Namespaces, OptionOverrides, RecoveryMode, Refused, Rule,
    SubscriptionOptions, Syntax,
};
use std::time::Duration;

const USER: Asker<'static> = Asker { user: "42", insecure: false };
const ANONYMOUS: Asker<'static> = Asker { user: "", insecure: false };
const INSECURE: Asker<'static> = Asker { user: "", insecure: true };

/// One namespace `ns` and none, with the same options.
fn namespaces(change: impl Fn(&mut ChannelOptions)) -> Namespaces {
    let mut options = ChannelOptions::default();
    change(&mut options);
    Namespaces::new(Syntax::default(), "", options.clone(), [("ns".to_owned(), options)]).unwrap()
}

mod names {
    use super::*;

    fn namespace_of<'n>(namespaces: &'n Namespaces, channel: &'n str) -> Option<&'n str> {
        namespaces.lookup(channel).map(|channel| &*channel.namespace.name)
    }

    #[test]
    fn the_namespace_is_before_the_first_boundary() {
        let namespaces = namespaces(|_| ());
        for (channel, expected) in [
            ("a", Some("")),
            ("ns:a", Some("ns")),
            ("$ns:a", Some("ns")),
            ("$$ns:a", None),
            ("ns:a:b", Some("ns")),
            ("ns:", Some("ns")),
            (":a", Some("")),
            ("$:a", Some("")),
            ("NS:a", None),
            ("other:a", None),
            ("a#ns:1", None),
            ("", Some("")),
        ] {
            assert_eq!(namespace_of(&namespaces, channel), expected, "{channel}");
        }
    }

    #[test]
    fn boundaries_are_configurable_and_may_be_off() {
        let syntax = Syntax {
            private_prefix: "priv-".into(),
            namespace_boundary: "::".into(),
            user_boundary: "@@".into(),
            user_separator: ";".into(),
        };
        let options = ChannelOptions { allow_user_limited_channels: true, ..Default::default() };
        let namespaces =
            Namespaces::new(syntax, "", options.clone(), [("ns".to_owned(), options.clone())]).unwrap();
        assert_eq!(namespace_of(&namespaces, "priv-ns::a"), Some("ns"));
        assert_eq!(namespace_of(&namespaces, "ns:a"), Some(""));
        assert!(namespaces.lookup("priv-a").unwrap().is_private());
        assert!(namespaces.lookup("a@@1;2").unwrap().lists_user("2"));
        let none = Syntax {
            private_prefix: String::new(),
            namespace_boundary: String::new(),
            user_boundary: String::new(),
            user_separator: String::new(),
        };
        let namespaces = Namespaces::new(none, "", options, []).unwrap();
        let channel = namespaces.lookup("$ns:a#1").unwrap();
        assert!(!channel.is_private() && !channel.is_user_limited());
        assert_eq!(&*channel.namespace.name, "");
    }

    #[test]
    fn without_a_separator_the_list_is_one_user() {
        let syntax = Syntax { user_separator: String::new(), ..Default::default() };
        let namespaces = Namespaces::new(syntax, "", ChannelOptions::default(), []).unwrap();
        assert!(namespaces.lookup("a#1,2").unwrap().lists_user("1,2"));
        assert!(!namespaces.lookup("a#1,2").unwrap().lists_user("1"));
    }

    #[test]
    fn names_are_ascii_or_fit_the_pattern() {
        let ascii = namespaces(|_| ());
        assert!(ascii.lookup("ns:a b\n").unwrap().has_valid_name());
        assert!(!ascii.lookup("ns:é").unwrap().has_valid_name());
        let pattern = namespaces(|options| options.channel_regex = "^[a-zé]+$".into());
        for (channel, valid) in
            [("ns:aé", true), ("ns:a1", false), ("$ns:a", true), ("a", true), ("$a", false), (":a", true)]
        {
            assert_eq!(pattern.lookup(channel).unwrap().has_valid_name(), valid, "{channel}");
        }
        let anywhere = namespaces(|options| options.channel_regex = "b".into());
        assert!(anywhere.lookup("ns:abc").unwrap().has_valid_name());
    }

    #[test]
    fn users_are_listed_after_the_last_boundary() {
        let namespaces = namespaces(|options| options.allow_user_limited_channels = true);
        for (channel, user, expected) in [
            ("a#42", "42", true),
            ("a#1,42", "42", true),
            ("a#1,42", "1,42", false),
            ("a#42#1", "42", false),
            ("a#42#1", "1", true),
            ("a#", "", true),
            ("a#1,", "", true),
            ("a#", "42", false),
            ("#42", "42", true),
            ("a#4", "42", false),
        ] {
            assert_eq!(namespaces.lookup(channel).unwrap().lists_user(user), expected, "{channel} {user}");
        }
    }

    #[test]
    fn malformed_namespaces_are_named() {
        let broken: [fn(&mut ChannelOptions); 3] = [
            |options| options.channel_regex = "(".into(),
            |options| options.publication_data_format = "xml".into(),
            |options| options.subscription_type = "queue".into(),
        ];
        for change in broken {
            let mut options = ChannelOptions::default();
            change(&mut options);
            let namespaces = [("news".to_owned(), options)];
            let error =
                Namespaces::new(Syntax::default(), "", ChannelOptions::default(), namespaces).unwrap_err();
            assert!(error.to_string().contains("news"), "{error}");
        }
    }

    #[test]
    fn the_global_data_format_is_inherited() {
        let json = ChannelOptions { publication_data_format: "json".into(), ..Default::default() };
        let namespaces =
            Namespaces::new(Syntax::default(), "binary", ChannelOptions::default(), [("ns".into(), json)])
                .unwrap();
        assert!(namespaces.lookup("a").unwrap().namespace.data_format.accepts(b""));
        assert!(!namespaces.lookup("ns:a").unwrap().namespace.data_format.accepts(b""));
    }
}

mod subscribing {
    use super::*;

    type Outcome = Result<(SubscribePath, Rule), (u32, Rule)>;

    fn subscribe(
        change: impl Fn(&mut ChannelOptions),
        channel: &str,
        asker: Asker<'_>,
        token: bool,
        kind: i32,
    ) -> Outcome {
        let namespaces = namespaces(change);
        permission::find(&namespaces, channel)
            .and_then(|channel| permission::subscribe(&channel, asker, token, kind))
            .map(|decision| (decision.path, decision.rule))
            .map_err(|Refused { answer, rule }| (answer.code(), rule))
    }

    const NONE: fn(&mut ChannelOptions) = |_| ();
    const ALL: fn(&mut ChannelOptions) = |options| {
        options.allow_user_limited_channels = true;
        options.subscribe_proxy_enabled = true;
        options.subscribe_stream_proxy_enabled = true;
        options.allow_subscribe_for_client = true;
        options.allow_subscribe_for_anonymous = true;
    };

    #[test]
    fn the_first_rule_that_applies_decides() {
        use SubscribePath::{AskProxy, AskStreamProxy, Granted, VerifyToken};
        let stream: fn(&mut ChannelOptions) = |options| {
            ALL(options);
            options.subscribe_proxy_enabled = false;
        };
        let client: fn(&mut ChannelOptions) = |options| options.allow_subscribe_for_client = true;
        let anyone: fn(&mut ChannelOptions) = |options| {
            options.allow_subscribe_for_client = true;
            options.allow_subscribe_for_anonymous = true;
        };
        let only_anonymous: fn(&mut ChannelOptions) = |options| options.allow_subscribe_for_anonymous = true;
        let pattern: fn(&mut ChannelOptions) = |options| options.channel_regex = "^[a-z]+$".into();
        for (options, channel, asker, token, expected) in [
            // Namespace, then name, whatever else holds.
            (ALL, "other:a", INSECURE, true, Err((102, Rule::Namespace))),
            (ALL, "ns:é", INSECURE, true, Err((107, Rule::ChannelName))),
            (pattern, "ns:1", INSECURE, true, Err((107, Rule::ChannelName))),
            // Private prefix without a token, even for the insecure and with a proxy.
            (ALL, "$a", USER, false, Err((103, Rule::PrivatePrefix))),
            (ALL, "$ns:a", INSECURE, false, Err((103, Rule::PrivatePrefix))),
            (ALL, "$a", USER, true, Ok((VerifyToken, Rule::SubscriptionToken))),
            // A token beats every other way.
            (ALL, "a", USER, true, Ok((VerifyToken, Rule::SubscriptionToken))),
            (NONE, "a#1", ANONYMOUS, true, Ok((VerifyToken, Rule::SubscriptionToken))),
            // User-limited channels know neither proxies nor allow_subscribe_for_client.
            (ALL, "a#1,42", USER, false, Ok((Granted, Rule::UserLimited))),
            (ALL, "ns:a#42", USER, false, Ok((Granted, Rule::UserLimited))),
            (ALL, "a#1", USER, false, Err((103, Rule::UserLimited))),
            (ALL, "a#1", INSECURE, false, Ok((Granted, Rule::Insecure))),
            (ALL, "a#", ANONYMOUS, false, Ok((Granted, Rule::UserLimited))),
            (ALL, "a#1", ANONYMOUS, false, Err((103, Rule::UserLimited))),
            // With the option off, the boundary means nothing.
            (client, "a#1", USER, false, Ok((Granted, Rule::AllowSubscribeForClient))),
            (NONE, "a#42", USER, false, Err((103, Rule::NothingAllows))),
            // Proxies before options.
            (ALL, "a", USER, false, Ok((AskProxy, Rule::SubscribeProxy))),
            (ALL, "a", INSECURE, false, Ok((AskProxy, Rule::SubscribeProxy))),
            (stream, "a", USER, false, Ok((AskStreamProxy, Rule::SubscribeStreamProxy))),
            // Options, where the one for anonymous users only widens the other.
            (client, "a", USER, false, Ok((Granted, Rule::AllowSubscribeForClient))),
            (client, "a", ANONYMOUS, false, Err((103, Rule::NothingAllows))),
            (anyone, "a", ANONYMOUS, false, Ok((Granted, Rule::AllowSubscribeForClient))),
            (only_anonymous, "a", ANONYMOUS, false, Err((103, Rule::NothingAllows))),
            (only_anonymous, "a", USER, false, Err((103, Rule::NothingAllows))),
            (client, "a", INSECURE, false, Ok((Granted, Rule::Insecure))),
            (NONE, "a", INSECURE, false, Ok((Granted, Rule::Insecure))),
            (NONE, "a", USER, false, Err((103, Rule::NothingAllows))),
        ] {
            assert_eq!(subscribe(options, channel, asker, token, 0), expected, "{channel} {asker:?} {token}");
        }
    }

    #[test]
    fn the_type_must_be_the_namespace_s() {
        let insecure =
            |options: fn(&mut ChannelOptions), kind| subscribe(options, "a", INSECURE, false, kind);
        let denied = Err((103, Rule::SubscriptionType));
        assert_eq!(insecure(NONE, 1), denied);
        assert_eq!(insecure(NONE, 2), denied);
        assert_eq!(insecure(NONE, 77), Err((3004, Rule::SubscriptionType)));
        assert_eq!(insecure(NONE, -1), Err((3004, Rule::SubscriptionType)));
        assert_eq!(insecure(|options| options.subscription_type = "map".into(), 0), denied);
        assert!(insecure(|options| options.subscription_type = "map".into(), 1).is_ok());
        assert!(insecure(|options| options.subscription_type = "stream".into(), 0).is_ok());
        assert_eq!(subscribe(NONE, "$a", USER, false, 1), denied, "type before prefix");
    }

    #[test]
    fn wishes_are_granted_by_options_or_by_access() {
        let all = Flags { positioned: true, recoverable: true, join_leave: true };
        let granted = |change: fn(&mut ChannelOptions), asker| {
            permission::granted_flags(&namespaces(change).lookup("a").unwrap(), asker, all)
        };
        let none = Flags::default();
        assert_eq!(granted(NONE, USER), none);
        assert_eq!(
            granted(|options| options.allow_positioning = true, USER),
            Flags { positioned: true, ..none }
        );
        assert_eq!(
            granted(|options| options.allow_recovery = true, USER),
            Flags { recoverable: true, ..none }
        );
        let history = Flags { positioned: true, recoverable: true, join_leave: false };
        assert_eq!(granted(|options| options.allow_history_for_client = true, USER), history);
        assert_eq!(granted(|options| options.allow_history_for_subscriber = true, USER), history);
        assert_eq!(granted(|options| options.allow_history_for_subscriber = true, ANONYMOUS), none);
        let presence: fn(&mut ChannelOptions) = |options| {
            options.join_leave = true;
            options.allow_presence_for_subscriber = true;
        };
        assert_eq!(granted(presence, USER), Flags { join_leave: true, ..none });
        assert_eq!(granted(presence, ANONYMOUS), none);
        assert_eq!(granted(|options| options.allow_presence_for_client = true, USER), none);
        assert_eq!(granted(|options| options.join_leave = true, USER), none);
        assert_eq!(granted(|options| options.join_leave = true, INSECURE), all);
        let channels = namespaces(presence);
        let unasked = permission::granted_flags(&channels.lookup("a").unwrap(), INSECURE, none);
        assert_eq!(unasked, none);
    }

    #[test]
    fn connect_subscriptions_are_accepted_or_left_out() {
        let judge = |change: fn(&mut ChannelOptions), channel, asker| {
            permission::connect_subscription(&namespaces(change).lookup(channel).unwrap(), asker)
        };
        let limited: fn(&mut ChannelOptions) = |options| {
            options.allow_user_limited_channels = true;
            options.allow_subscribe_for_client = true;
            options.allow_subscribe_for_anonymous = true;
        };
        assert_eq!(judge(ALL, "a", USER), Err(Rule::SubscribeProxy));
        assert_eq!(
            judge(|options| options.subscribe_stream_proxy_enabled = true, "a", INSECURE),
            Err(Rule::SubscribeStreamProxy)
        );
        assert_eq!(
            judge(|options| options.subscription_type = "map".into(), "a", INSECURE),
            Err(Rule::SubscriptionType)
        );
        assert_eq!(judge(limited, "$a", INSECURE), Err(Rule::PrivatePrefix));
        assert_eq!(judge(limited, "é", INSECURE), Err(Rule::ChannelName));
        assert_eq!(judge(limited, "a#42", USER), Ok(Rule::UserLimited));
        assert_eq!(judge(limited, "a#1", USER), Err(Rule::UserLimited));
        assert_eq!(judge(limited, "a#", ANONYMOUS), Err(Rule::UserLimited));
        assert_eq!(judge(limited, "a#1", INSECURE), Ok(Rule::Insecure));
        assert_eq!(judge(limited, "a", ANONYMOUS), Ok(Rule::AllowSubscribeForClient));
        assert_eq!(
            judge(|options| options.allow_subscribe_for_client = true, "a", ANONYMOUS),
            Err(Rule::NothingAllows)
        );
        assert_eq!(judge(NONE, "a", INSECURE), Ok(Rule::Insecure));
    }

    #[test]
    fn the_form_is_judged_before_permissions() {
        let streams = namespaces(|_| ());
        let polled = namespaces(|options| options.subscription_type = "shared_poll".into());
        let limits = Limits { channel_length: 4, channels: 2 };
        let long = "é12";
        let base = Asked { channel: "a", ..Default::default() };
        let broken = Asked { channel: long, delta: "x", already_subscribed: true, held: 2, kind: 0 };
        for (namespaces, asked, expected) in [
            (&streams, base, Ok(())),
            (
                &streams,
                Asked { channel: "", ..broken },
                Err((Answer::DisconnectBadRequest, Rule::EmptyChannel)),
            ),
            (&streams, Asked { kind: 4, ..broken }, Err((Answer::NotAvailable, Rule::SubscriptionType))),
            (
                &streams,
                Asked { kind: 4, channel: "other:a", ..base },
                Err((Answer::NotAvailable, Rule::SubscriptionType)),
            ),
            (&polled, base, Err((Answer::BadRequest, Rule::SubscriptionType))),
            (&polled, Asked { kind: 77, ..base }, Err((Answer::BadRequest, Rule::SubscriptionType))),
            (&polled, Asked { kind: 4, ..base }, Ok(())),
            (&streams, broken, Err((Answer::DisconnectBadRequest, Rule::DeltaType))),
            (&streams, Asked { delta: "fossil", ..base }, Ok(())),
            (&streams, Asked { channel: long, ..base }, Ok(())),
            (
                &streams,
                Asked { channel: "12345", held: 2, ..base },
                Err((Answer::BadRequest, Rule::ChannelLength)),
            ),
            (&streams, Asked { channel: "ééé", ..base }, Err((Answer::BadRequest, Rule::ChannelLength))),
            (
                &streams,
                Asked { already_subscribed: true, held: 2, ..base },
                Err((Answer::AlreadySubscribed, Rule::AlreadySubscribed)),
            ),
            (&streams, Asked { held: 1, ..base }, Ok(())),
            (&streams, Asked { held: 2, ..base }, Err((Answer::LimitExceeded, Rule::ChannelLimit))),
        ] {
            let result = limits.check_subscribe(namespaces, &asked);
            assert_eq!(result.map_err(|refused| (refused.answer, refused.rule)), expected, "{asked:?}");
        }
        let none = Limits { channel_length: 0, channels: 0 };
        let huge = "a".repeat(10_000);
        assert!(none.check_subscribe(&streams, &Asked { channel: &huge, held: 10_000, ..base }).is_ok());
        assert!(limits.admits_at_connect(2) && !limits.admits_at_connect(3));
    }

    #[test]
    fn options_follow_namespace_overrides_and_grants() {
        let channels = namespaces(|options| {
            options.presence = true;
            options.force_recovery = true;
            options.force_recovery_mode = "cache".into();
            options.auto_cache_recover = true;
        });
        let namespace = channels.lookup("a").unwrap().namespace;
        let plain = SubscriptionOptions::new(namespace, OptionOverrides::default());
        let expected = SubscriptionOptions {
            presence: true,
            recovery: true,
            recovery_mode: RecoveryMode::Cache,
            auto_cache_recover: true,
            ..Default::default()
        };
        assert_eq!(plain, expected);
        let overrides = OptionOverrides {
            presence: Some(false),
            join_leave: Some(true),
            force_push_join_leave: Some(true),
            force_positioning: Some(true),
            force_recovery: Some(false),
        };
        let changed = SubscriptionOptions::new(namespace, overrides);
        let expected = SubscriptionOptions {
            join_leave: true,
            push_join_leave: true,
            positioning: true,
            recovery_mode: RecoveryMode::Cache,
            ..Default::default()
        };
        assert_eq!(changed, expected);
        let granted = changed.with_granted(Flags { recoverable: true, ..Default::default() }, namespace);
        assert!(granted.recovery && granted.auto_cache_recover);
    }
}

mod using {
    use super::*;

    type Change = fn(&mut ChannelOptions);

    #[test]
    fn publications_are_judged_in_order() {
        use PublishPath::{AskProxy, Granted, ToStreamProxy};
        let proxy: Change = |options| {
            options.publish_proxy_enabled = true;
            options.allow_publish_for_client = true;
        };
        let one_way: Change = |options| {
            options.subscribe_stream_proxy_enabled = true;
            options.allow_publish_for_client = true;
        };
        let both_ways: Change = |options| {
            options.subscribe_stream_proxy_enabled = true;
            options.subscribe_stream_proxy_bidirectional = true;
        };
        let client: Change = |options| options.allow_publish_for_client = true;
        let subscriber: Change = |options| options.allow_publish_for_subscriber = true;
        let anonymous: Change = |options| {
            options.allow_publish_for_subscriber = true;
            options.allow_publish_for_anonymous = true;
        };
        let denied = Err((103, Rule::NothingAllows));
        let no_stream = Err((108, Rule::SubscribeStreamProxy));
        for (change, asker, subscribed, data, expected) in [
            (proxy, USER, false, "", Err((107, Rule::DataFormat))),
            (proxy, INSECURE, false, "x", Ok((AskProxy, Rule::PublishProxy))),
            (one_way, INSECURE, true, "x", no_stream),
            (both_ways, USER, false, "x", no_stream),
            (both_ways, USER, true, "x", Ok((ToStreamProxy, Rule::SubscribeStreamProxy))),
            (client, USER, false, "x", Ok((Granted, Rule::AllowPublishForClient))),
            (client, ANONYMOUS, true, "x", denied),
            (subscriber, USER, false, "x", denied),
            (subscriber, USER, true, "x", Ok((Granted, Rule::AllowPublishForSubscriber))),
            (subscriber, ANONYMOUS, true, "x", denied),
            (anonymous, ANONYMOUS, true, "x", Ok((Granted, Rule::AllowPublishForSubscriber))),
            (|_| (), INSECURE, false, "null", Ok((Granted, Rule::Insecure))),
            (|_| (), INSECURE, false, "", Err((107, Rule::DataFormat))),
            (|_| (), USER, true, "x", denied),
        ] as [(Change, _, _, &str, _); 14]
        {
            let namespaces = namespaces(change);
            let channel = namespaces.lookup("$a").unwrap();
            let result = permission::publish(&channel, asker, subscribed, data.as_bytes())
                .map(|decision| (decision.path, decision.rule))
                .map_err(|refused| (refused.answer.code(), refused.rule));
            assert_eq!(result, expected, "{asker:?} {subscribed} {data:?}");
        }
    }

    #[test]
    fn presence_must_be_on_before_it_is_allowed() {
        let on: Change = |options| options.presence = true;
        let client: Change = |options| {
            options.presence = true;
            options.allow_presence_for_client = true;
        };
        let subscriber: Change = |options| {
            options.presence = true;
            options.allow_presence_for_subscriber = true;
        };
        let anonymous: Change = |options| {
            options.presence = true;
            options.allow_presence_for_client = true;
            options.allow_presence_for_anonymous = true;
        };
        for (change, asker, subscribed, expected) in [
            ((|options| options.allow_presence_for_client = true) as Change, INSECURE, true, Err(108)),
            (on, USER, true, Err(103)),
            (on, INSECURE, false, Ok(Rule::Insecure)),
            (client, USER, false, Ok(Rule::AllowPresenceForClient)),
            (client, ANONYMOUS, false, Err(103)),
            (anonymous, ANONYMOUS, false, Ok(Rule::AllowPresenceForClient)),
            (subscriber, USER, false, Err(103)),
            (subscriber, USER, true, Ok(Rule::AllowPresenceForSubscriber)),
        ] {
            let namespaces = namespaces(change);
            let result = permission::presence(&namespaces.lookup("a").unwrap(), asker, subscribed);
            assert_eq!(result.map_err(|refused| refused.answer.code()), expected, "{asker:?} {subscribed}");
        }
    }

    #[test]
    fn history_must_be_on_before_it_is_allowed() {
        fn on(options: &mut ChannelOptions) {
            options.history_size = 10;
            options.history_ttl = Duration::from_secs(60);
        }
        let client: Change = |options| {
            on(options);
            options.allow_history_for_client = true;
        };
        let subscriber: Change = |options| {
            on(options);
            options.allow_history_for_subscriber = true;
        };
        let anonymous: Change = |options| {
            on(options);
            options.allow_history_for_subscriber = true;
            options.allow_history_for_anonymous = true;
        };
        for (change, asker, subscribed, expected) in [
            ((|options| options.allow_history_for_client = true) as Change, INSECURE, true, Err(108)),
            (|options| options.history_size = 10, INSECURE, true, Err(108)),
            (on, USER, true, Err(103)),
            (on, INSECURE, false, Ok(Rule::Insecure)),
            (client, USER, false, Ok(Rule::AllowHistoryForClient)),
            (client, ANONYMOUS, false, Err(103)),
            (anonymous, ANONYMOUS, true, Ok(Rule::AllowHistoryForSubscriber)),
            (anonymous, ANONYMOUS, false, Err(103)),
            (subscriber, USER, true, Ok(Rule::AllowHistoryForSubscriber)),
        ] {
            let namespaces = namespaces(change);
            let result = permission::history(&namespaces.lookup("a").unwrap(), asker, subscribed);
            assert_eq!(result.map_err(|refused| refused.answer.code()), expected, "{asker:?} {subscribed}");
        }
    }
}
