using System.Text.Json;
using System.Text.Json.Nodes;

namespace Penstock.Cli.Serve;

/// <summary>The arguments that give a served device to a QEMU, as a person pastes them into a shell.</summary>
internal static class QemuArguments
{
    public static string For(string socketPath)
    {
        string device = new JsonObject
        {
            ["driver"] = "vfio-user-pci",
            ["socket"] = new JsonObject { ["type"] = "unix", ["path"] = Path.GetFullPath(socketPath) },
        }.ToJsonString(new JsonSerializerOptions { Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping });
        return $"-object memory-backend-memfd,id=mem,size=512M,share=on -machine q35,memory-backend=mem -m 512M -device {Quote(device)}";
    }

    private static string Quote(string text) => $"'{text.Replace("'", "'\\''", StringComparison.Ordinal)}'";
}
