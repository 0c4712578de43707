# Packages of Debian's registry, also of other suites and architectures than this machine's. ci/kernels.sh sources it.
# It leaves the machine's own lists of packages alone: `work` is the directory for the lists of each suite.

mirror() {
    # shellcheck disable=SC2016
    apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | sed -n 's/^Debian //p' | head -n 1
}

# Prints the name of a configuration of apt that knows one suite.
lists_of() { # ARCHITECTURE SUITE
    local apt=$work/apt-$2-$1 from
    if [ ! -e "$apt/done" ]; then
        from=$(mirror)
        if [ -z "$from" ] && [ "$(id -u)" = 0 ]; then
            apt-get update >/dev/null 2>&1 || true
            from=$(mirror)
        fi
        [ -n "$from" ] || { echo "apt knows no mirror of Debian" >&2; return 1; }
        mkdir -p "$apt/lists/partial" "$apt/cache/archives/partial"
        echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $from $2 main" >"$apt/sources"
        cat >"$apt/conf" <<CONF
Dir::State::lists "$apt/lists";
Dir::Cache "$apt/cache";
Dir::Etc::sourcelist "$apt/sources";
Dir::Etc::sourceparts "-";
APT::Architecture "$1";
APT::Architectures "$1";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
CONF
        APT_CONFIG=$apt/conf timeout 120 apt-get update >"$apt/log" 2>&1 && ! grep -q '^[WE]: .*Failed' "$apt/log" ||
            { tail -n 3 "$apt/log" >&2; return 1; }
        touch "$apt/done"
    fi
    echo "$apt/conf"
}

# Unpacks the files of the newest package with such a name into DIRECTORY, and writes its version to DIRECTORY/version.
unpack() { # ARCHITECTURE SUITE NAME-PATTERN FILE-PATTERN DIRECTORY
    local conf package
    conf=$(lists_of "$1" "$2") || return 1
    package=$(APT_CONFIG=$conf apt-cache pkgnames | grep -E "$3" | sort -V | tail -n 1)
    [ -n "$package" ] || { echo "$2 has no package $3" >&2; return 1; }
    rm -rf "$5.part"
    mkdir -p "$5.part"
    (cd "$5.part" && APT_CONFIG=$conf timeout 300 apt-get download "$package" >log 2>&1) || {
        tail -n 3 "$5.part/log" >&2
        rm -f "$(dirname "$conf")/done" # the lists may be old
        return 1
    }
    dpkg-deb --fsys-tarfile "$5.part"/*.deb | tar -x -C "$5.part" --wildcards "$4" || return 1
    dpkg-deb --field "$5.part"/*.deb Version >"$5.part/version"
    rm "$5.part"/*.deb "$5.part/log"
    rm -rf "$5"
    mv "$5.part" "$5"
}
