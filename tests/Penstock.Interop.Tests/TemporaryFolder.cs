using System.Text;

namespace Penstock.Interop.Tests;

/// <summary>A folder that is removed afterwards.</summary>
internal sealed class TemporaryFolder : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("penstock-").FullName;

    public string File(string name) => System.IO.Path.Combine(Path, name);

    /// <summary>A path of exactly so many bytes.</summary>
    public string FileOfLength(int bytes, char filler = 'a')
    {
        string path = File(string.Empty);
        int width = Encoding.UTF8.GetByteCount([filler]);
        while (Encoding.UTF8.GetByteCount(path) + width <= bytes)
        {
            path += filler;
        }

        return path.PadRight(path.Length + bytes - Encoding.UTF8.GetByteCount(path), 'a');
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
