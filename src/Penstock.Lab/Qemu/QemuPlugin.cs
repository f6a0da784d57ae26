using System.Security.Cryptography;
using System.Text;
using Penstock.Lab.Processes;

namespace Penstock.Lab;

/// <summary>Builds plugins for QEMU from a C source with this machine's compiler, once for each text of the source.</summary>
public static class QemuPlugin
{
    /// <summary>Compilers in the order in which they are tried.</summary>
    private static readonly string[] Compilers = ["cc", "gcc", "clang"];

    private static readonly string[] Flags =
        ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread"];

    /// <summary>Builds a plugin, or finds it built.</summary>
    /// <param name="name">Its name, without an ending.</param>
    /// <param name="source">The C source, one file. What it uses of QEMU and GLib it declares itself; it is found when QEMU loads the plugin.</param>
    /// <param name="options">Where the lab keeps things; null for the defaults.</param>
    /// <param name="cancellation">Stops the compiler.</param>
    /// <returns>The path of the plugin, which later calls with the same source return too.</returns>
    /// <exception cref="LabException">There is no compiler, or it refuses the source; its own words are in the text.</exception>
    /// <exception cref="OperationCanceledException">It was cancelled.</exception>
    public static Task<string> BuildAsync(string name, string source, LabOptions? options = null, CancellationToken cancellation = default) =>
        BuildAsync(name, source, options ?? new LabOptions(), LabEnvironment.OfProcess, cancellation);

    internal static async Task<string> BuildAsync(
        string name, string source, LabOptions options, LabEnvironment environment, CancellationToken cancellation)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentException.ThrowIfNullOrEmpty(source);
        var folder = Path.Combine(environment.CacheFolder(options), "plugins");
        var key = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(string.Join(' ', Flags) + "\n" + source)))[..16];
        var plugin = Path.Combine(folder, $"{name}-{key}.so");
        if (File.Exists(plugin))
        {
            return plugin;
        }

        var compiler = Compilers.Select(environment.FindProgram).OfType<string>().FirstOrDefault() ?? throw new LabException(
            $"{name}, a plugin for QEMU, is built with a C compiler and there is none on the PATH (cc, gcc or clang); install one (apt-get install gcc libc6-dev) and try again");
        options.Progress?.Report(new LabProgress($"building {name}"));

        // Names of its own, so that another process may build the same one meanwhile; the rename makes either whole.
        var unique = Path.Combine(folder, $"{name}-{key}-{Path.GetRandomFileName()}");
        try
        {
            Directory.CreateDirectory(folder);
            await File.WriteAllTextAsync(unique + ".c", source, cancellation).ConfigureAwait(false);
            var result = await Tool.RunAsync(compiler, [.. Flags, "-o", unique + ".so", unique + ".c"], environment, cancellation).ConfigureAwait(false);
            if (result.ExitCode != 0)
            {
                throw new LabException($"{compiler} cannot build {name}, a plugin for QEMU: {(result.Errors + result.Output).Trim()}; is libc6-dev installed?");
            }

            File.Move(unique + ".so", plugin, overwrite: true);
            return plugin;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new LabException($"{name}, a plugin for QEMU, cannot be written to {folder} ({e.Message}); set PENSTOCK_LAB to a folder of yours", e);
        }
        finally
        {
            foreach (var left in Directory.Exists(folder) ? Directory.EnumerateFiles(folder, Path.GetFileName(unique) + ".*") : [])
            {
                File.Delete(left);
            }
        }
    }
}
