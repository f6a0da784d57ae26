using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;

namespace Penstock.Cli.Serve;

/// <summary>The arguments that give a served device to a QEMU.</summary>
internal static class QemuArguments
{
    private static readonly JsonSerializerOptions Plain = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    /// <summary>One argument each, as a program hands them over.</summary>
    public static string[] For(string socketPath)
    {
        string device = new JsonObject
        {
            ["driver"] = "vfio-user-pci",
            ["socket"] = new JsonObject { ["type"] = "unix", ["path"] = Path.GetFullPath(socketPath) },
        }.ToJsonString(Plain);
        return
        [
            "-object", "memory-backend-memfd,id=mem,size=512M,share=on",
            "-machine", "q35,memory-backend=mem",
            "-m", "512M",
            "-device", device,
        ];
    }

    /// <summary>The same, as a person pastes them into a shell.</summary>
    public static string Shell(IEnumerable<string> arguments) => string.Join(' ', arguments.Select(Quote));

    private static string Quote(string text) => text.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '=' or ',' or '.' or '/' or ':')
        ? text
        : $"'{text.Replace("'", "'\\''", StringComparison.Ordinal)}'";
}
