using System.Text;
using Penstock.Lab.Processes;

namespace Penstock.Lab.Kernel;

/// <summary>The wanted modules of one kernel with everything they depend on, and the index files that modprobe reads.</summary>
internal sealed class ModuleSelection
{
    private readonly Dictionary<string, KernelModule> _modules;

    private ModuleSelection(Dictionary<string, KernelModule> modules, IReadOnlySet<string> builtIn, IReadOnlyList<string> absent)
    {
        _modules = modules;
        BuiltIn = builtIn;
        Absent = absent;
    }

    public IEnumerable<KernelModule> Modules => _modules.Values;

    /// <summary>Canonical names of what the kernel has built in.</summary>
    public IReadOnlySet<string> BuiltIn { get; }

    /// <summary>Wanted names that are neither modules nor built in: kernels differ.</summary>
    public IReadOnlyList<string> Absent { get; }

    /// <summary>A kernel without any module.</summary>
    public static ModuleSelection None(IEnumerable<string> wanted) => new([], new HashSet<string>(), [.. wanted.Select(ModuleInfo.Canonical)]);

    /// <summary>Selects from <c>…/lib/modules/RELEASE</c>; compressed modules are unpacked in <paramref name="workFolder"/>.</summary>
    public static async Task<ModuleSelection> SelectAsync(
        string modulesFolder, IEnumerable<string> wanted, string workFolder, LabEnvironment environment, CancellationToken cancellation)
    {
        var files = new Dictionary<string, string>();
        foreach (var path in Directory.EnumerateFiles(modulesFolder, "*.ko*", SearchOption.AllDirectories))
        {
            var file = Path.GetFileName(path);
            files[ModuleInfo.Canonical(file[..file.IndexOf(".ko", StringComparison.Ordinal)])] = path;
        }

        var builtIn = new HashSet<string>();
        var list = Path.Combine(modulesFolder, "modules.builtin");
        if (File.Exists(list))
        {
            builtIn.UnionWith((await File.ReadAllLinesAsync(list, cancellation).ConfigureAwait(false))
                .Select(l => ModuleInfo.Canonical(Path.GetFileNameWithoutExtension(l.Trim()))));
        }

        var modules = new Dictionary<string, KernelModule>();
        var absent = new List<string>();
        var round = wanted.Select(ModuleInfo.Canonical).ToHashSet();
        while (round.Count > 0)
        {
            absent.AddRange(round.Where(n => !files.ContainsKey(n) && !builtIn.Contains(n)));
            var next = new HashSet<string>();
            var paths = round.Where(files.ContainsKey).ToDictionary(n => n, n => files[n]);
            var plain = await UnpackAsync(paths, workFolder, environment, cancellation).ConfigureAwait(false);
            foreach (var (name, original) in paths)
            {
                var module = await ReadAsync(name, original, plain[name], modulesFolder, cancellation).ConfigureAwait(false);
                modules.Add(name, module);
                next.UnionWith(module.Info.Depends);
                next.UnionWith(module.Info.SoftDependencies);
            }

            next.ExceptWith(modules.Keys);
            next.ExceptWith(absent);
            next.ExceptWith(builtIn);
            round = next;
        }

        return new ModuleSelection(modules, builtIn, absent);
    }

    /// <summary>
    /// <c>modules.dep</c> as depmod writes it: each module, a colon, and all that must be loaded before it, the last first.
    /// </summary>
    public string Dependencies()
    {
        var text = new StringBuilder();
        foreach (var module in _modules.Values.OrderBy(m => m.Path, StringComparer.Ordinal))
        {
            var before = new List<string>();
            Load(module, before, []);
            before.RemoveAt(before.Count - 1);
            before.Reverse();
            text.Append(module.Path).Append(':');
            before.ForEach(path => text.Append(' ').Append(path));
            text.Append('\n');
        }

        return text.ToString();
    }

    /// <summary><c>modules.alias</c>, by which a device's own identity loads its driver.</summary>
    public string Aliases() => string.Concat(_modules.Values.OrderBy(m => m.Path, StringComparer.Ordinal)
        .SelectMany(m => m.Info.Aliases, (m, alias) => $"alias {alias} {m.Name}\n"));

    /// <summary>The same and the built-in modules for libkmod, by file name. It refuses to work when one is absent.</summary>
    public IEnumerable<(string Name, byte[] Content)> BinaryIndexes()
    {
        yield return ("modules.dep.bin", ModuleIndex.Write(Dependencies().Split('\n', StringSplitOptions.RemoveEmptyEntries)
            .Select(line => (ModuleInfo.Canonical(Path.GetFileNameWithoutExtension(line.Split(':')[0])), line))));
        yield return ("modules.alias.bin", ModuleIndex.Write(_modules.Values.SelectMany(m => m.Info.Aliases, (m, alias) => (Underscores(alias), m.Name))));
        yield return ("modules.symbols.bin", ModuleIndex.Write([]));
        yield return ("modules.builtin.bin", ModuleIndex.Write(BuiltIn.Select(name => (name, ""))));
        yield return ("modules.builtin.alias.bin", ModuleIndex.Write([]));
    }

    /// <summary>libkmod takes the dashes of what it looks up for underscores, apart from those in sets of characters.</summary>
    private static string Underscores(string alias)
    {
        var inSet = false;
        return string.Concat(alias.Select(c =>
        {
            inSet = c == '[' || (inSet && c != ']');
            return c == '-' && !inSet ? '_' : c;
        }));
    }

    /// <summary>Appends the module's whole loading order, itself last.</summary>
    private void Load(KernelModule module, List<string> order, HashSet<string> seen)
    {
        if (!seen.Add(module.Name))
        {
            return;
        }

        foreach (var name in module.Info.Depends)
        {
            if (_modules.TryGetValue(name, out var needed))
            {
                Load(needed, order, seen);
            }
        }

        order.Add(module.Path);
    }

    private static async Task<KernelModule> ReadAsync(
        string name, string original, string plain, string modulesFolder, CancellationToken cancellation)
    {
        var content = await File.ReadAllBytesAsync(plain, cancellation).ConfigureAwait(false);
        var relative = Path.GetRelativePath(modulesFolder, original);
        relative = relative[..(relative.LastIndexOf(".ko", StringComparison.Ordinal) + ".ko".Length)];
        try
        {
            return new KernelModule(name, relative, content, ModuleInfo.Read(content));
        }
        catch (InvalidDataException e)
        {
            throw new LabException($"{original} is not a kernel module: {e.Message}; name the folder of another kernel's modules", e);
        }
    }

    /// <summary>Gives each module's uncompressed file; one run of the tool serves all modules of a round.</summary>
    private static async Task<Dictionary<string, string>> UnpackAsync(
        Dictionary<string, string> paths, string workFolder, LabEnvironment environment, CancellationToken cancellation)
    {
        var plain = new Dictionary<string, string>();
        Directory.CreateDirectory(workFolder);
        foreach (var group in paths.GroupBy(p => Path.GetExtension(p.Value)))
        {
            if (group.Key == ".ko")
            {
                foreach (var (name, path) in group)
                {
                    plain[name] = path;
                }

                continue;
            }

            var (tool, package) = group.Key switch
            {
                ".xz" => ("xz", "xz-utils"),
                ".zst" => ("zstd", "zstd"),
                ".gz" => ("gzip", "gzip"),
                _ => throw new LabException($"kernel modules end in {group.Key}, and the lab knows .xz, .zst and .gz; unpack them first"),
            };
            var program = environment.RequireProgram(tool, "to unpack kernel modules", package);
            foreach (var (name, path) in group)
            {
                var copy = Path.Combine(workFolder, name + ".ko");
                File.Copy(path, copy + group.Key, overwrite: true);
                plain[name] = copy;
            }

            var result = await Tool.RunAsync(
                program, ["-d", "-f", "-q", .. group.Select(p => plain[p.Key] + group.Key)], environment, cancellation).ConfigureAwait(false);
            if (result.ExitCode != 0)
            {
                throw new LabException($"{tool} cannot unpack kernel modules: {result.Errors.Trim()}; see that the disk has room, then try again");
            }
        }

        return plain;
    }
}
