namespace Penstock.Lab;

/// <summary>Files that travel inside this assembly.</summary>
internal static class Embedded
{
    public static byte[] Bytes(string name)
    {
        using var stream = typeof(Embedded).Assembly.GetManifestResourceStream(name)
            ?? throw new InvalidOperationException($"resource {name} is not in the assembly");
        var bytes = new byte[stream.Length];
        stream.ReadExactly(bytes);
        return bytes;
    }
}
