"""Gemini's dialect: generateContent, its streams, embeddings and counts, at the Gemini API; Vertex AI speaks it too."""
