namespace Penstock.Hypervisor;

/// <summary>The plugin that goes into QEMU: one C file, which the machine's own compiler builds.</summary>
public static class TapPlugin
{
    /// <summary>Name of the built file without its ending, and of the source.</summary>
    public const string Name = "penstock-tap";

    /// <summary>The plugin's source.</summary>
    public static string Source
    {
        get
        {
            using Stream stream = typeof(TapPlugin).Assembly.GetManifestResourceStream($"{Name}.c")
                ?? throw new InvalidOperationException($"{Name}.c is not in the assembly");
            using var reader = new StreamReader(stream);
            return reader.ReadToEnd();
        }
    }

    /// <summary>QEMU's arguments that load it.</summary>
    /// <param name="pluginPath">Where the built plugin is.</param>
    /// <param name="channelPath">The channel: <see cref="TapSession.ChannelPath"/>.</param>
    /// <returns>The arguments, each its own element.</returns>
    public static IReadOnlyList<string> Arguments(string pluginPath, string channelPath)
    {
        ArgumentException.ThrowIfNullOrEmpty(pluginPath);
        ArgumentException.ThrowIfNullOrEmpty(channelPath);

        // A comma separates QEMU's options; doubled it is one.
        return ["-plugin", $"{pluginPath.Replace(",", ",,", StringComparison.Ordinal)},channel={channelPath}"];
    }
}
