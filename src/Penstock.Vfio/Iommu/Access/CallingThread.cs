using System.Runtime.CompilerServices;

namespace Penstock.Vfio;

/// <summary>
/// The managed id of the calling thread, where one load finds it: asking the runtime takes as long as a translation. A thread's id never changes.
/// </summary>
internal static class CallingThread
{
    [ThreadStatic]
    private static int s_id;

    internal static int Id
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get
        {
            int id = s_id;
            return id != 0 ? id : Ask();
        }
    }

    /// <summary>The same, or 0 when it has not been asked for on this thread yet.</summary>
    internal static int KnownId
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        get => s_id;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static int Ask() => s_id = Environment.CurrentManagedThreadId;
}
